//! The documentation does what it says: every block is run, every page is in the book, every link leads somewhere.

mod block;
mod book;
mod expect;
mod session;
mod shell;

use block::Page;
use session::Session;

/// Blocks that nobody runs, each with its reason beside it.
const IGNORED_MAX: usize = 17;

async fn follow(name: &str) {
    Session::of(Page::read(name)).await.run();
}

macro_rules! pages {
    ($($test:ident: $page:literal,)*) => {
        /// The pages that have something to run.
        const RUN: &[&str] = &[$($page),*];

        $(#[tokio::test(flavor = "multi_thread")]
        async fn $test() {
            follow($page).await;
        })*
    };
}

pages! {
    the_readme: "README.md",
    degraded: "docs/explanation/degraded.md",
    alerts: "docs/how-to/alerts.md",
    docker: "docs/how-to/docker.md",
    drills_in_ci: "docs/how-to/drills-in-ci.md",
    migrate: "docs/how-to/migrate.md",
    protect_the_database: "docs/how-to/protect-the-database.md",
    redis: "docs/how-to/redis.md",
    replace_cache_aside: "docs/how-to/replace-cache-aside.md",
    stuck_journal: "docs/how-to/stuck-journal.md",
    supabase: "docs/how-to/supabase.md",
    systemd: "docs/how-to/systemd.md",
    node: "docs/tutorials/node.md",
    outage: "docs/tutorials/outage.md",
    python: "docs/tutorials/python.md",
    caching: "docs/caching.md",
    configuration: "docs/configuration.md",
    drill: "docs/drill.md",
    locks: "docs/locks.md",
    observing: "docs/observing.md",
    outages: "docs/outages.md",
    resp: "docs/resp.md",
    routes: "docs/routes.md",
}

#[test]
fn every_page_with_something_to_run_is_run() {
    for name in block::pages() {
        // A decision tells of its time.
        if name.starts_with("docs/adr/") {
            continue;
        }
        let page = Page::read(&name);
        let runs = page
            .blocks
            .iter()
            .any(|block| block.ignored().is_none() && !matches!(&*block.language, "text" | "rust"));
        // Those of the clients are run, through outages, by `recipes`.
        let runs = runs && !name.starts_with("docs/clients/");
        assert!(!runs || RUN.contains(&&*name), "{name} is in no test: add it to `pages!`");
        for block in &page.blocks {
            assert!(
                !block.language.is_empty(),
                "{name}:{}: say what it is, `text` if it is no code",
                block.line
            );
        }
    }
}

#[test]
fn what_is_not_run_says_why_and_is_little() {
    let mut ignored = Vec::new();
    for name in block::pages() {
        for block in Page::read(&name).blocks {
            if let Some(why) = block.ignored() {
                assert!(why.split(' ').count() > 2, "{name}:{}: why is it not run?", block.line);
                ignored.push(format!("{name}:{}: {why}", block.line));
            }
        }
    }
    assert!(
        ignored.len() <= IGNORED_MAX,
        "{} of {IGNORED_MAX}:\n{}",
        ignored.len(),
        ignored.join("\n")
    );
}

#[test]
fn rust_of_the_pages_is_compiled_by_the_crate() {
    let tests =
        std::fs::read_to_string(block::root().join("crates/mainstay/src/pages.rs")).unwrap();
    for name in block::pages() {
        let has_rust = Page::read(&name).blocks.iter().any(|block| block.language == "rust");
        assert!(
            !has_rust || tests.contains(&format!("/{name}\"")),
            "{name} is missing in crates/mainstay/src/pages.rs"
        );
    }
}

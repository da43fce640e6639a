//! The packages in `clients/`, as their users build them: their own tests against this binary, their types, what is packed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokio::process::Command;

use crate::{
    clients::{install_python, kept, run},
    recipes::{Stage, TYPESCRIPT, repository},
};

/// A copy of a package that its tools may write into; what they have installed stays from run to run.
fn copy_of(package: &str) -> PathBuf {
    let folder = kept(&format!("package-{package}"));
    for old in ["src", "tests", "test", "build", "dist", "readme"] {
        drop(fs::remove_dir_all(folder.join(old)));
    }
    copy(&repository("clients").join(package), &folder);
    folder
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let name = entry.file_name().into_string().unwrap();
        let made = ["node_modules", "build", "dist", "__pycache__", ".mypy_cache"];
        if made.contains(&name.as_str()) || name.ends_with(".egg-info") {
            continue;
        }
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(&name));
        } else {
            fs::copy(entry.path(), to.join(&name)).unwrap();
        }
    }
}

fn in_folder(folder: &Path, program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.current_dir(folder).args(args).env("MAINSTAY_BIN", env!("CARGO_BIN_EXE_mainstay"));
    command.env_remove("REDIS_URL").env_remove("DATABASE_URL");
    command
}

/// What it said, on both streams.
async fn said(mut command: Command) -> String {
    let output = run(&mut command).await;
    let text = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&text).into_owned()
}

#[tokio::test]
async fn the_python_package_works() {
    let folder = copy_of("python");
    let redis = install_python("package-python-redis", &["redis"]).await;
    let tools = install_python("package-python-tools", &["mypy"]).await;
    let path = format!("src:{}", redis.display());
    let mut tests =
        in_folder(&folder, "python3", &["-m", "unittest", "discover", "-t", ".", "tests"]);
    tests.env("PYTHONPATH", path);
    let text = said(tests).await;
    assert!(text.contains("\nOK\n"), "none was skipped\n{text}");
    let mut mypy = in_folder(&folder, "python3", &["-m", "mypy"]);
    mypy.env("PYTHONPATH", tools);
    assert!(said(mypy).await.contains("no issues found"));
    let wheel = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", "."];
    said(in_folder(&folder, "python3", &wheel)).await;
    let wheel = "dist/mainstay-0.1.0-py3-none-any.whl";
    let files = said(in_folder(&folder, "python3", &["-m", "zipfile", "-l", wheel])).await;
    for file in ["mainstay/py.typed", "mainstay/aio.py", "licenses/LICENSE-MIT"] {
        assert!(files.contains(file), "{file}\n{files}");
    }
}

#[tokio::test]
async fn the_typescript_package_works() {
    let folder = copy_of("typescript");
    let install = ["install", "--silent", "--no-audit", "--no-fund", "--no-package-lock"];
    said(in_folder(&folder, "npm", &install)).await;
    let text = said(in_folder(&folder, "npm", &["test", "--silent"])).await;
    assert!(text.contains("# fail 0") && text.contains("# skipped 0"), "{text}");
    let packed = said(in_folder(&folder, "npm", &["pack", "--dry-run"])).await;
    for file in ["dist/index.js", "dist/index.d.ts", "README.md", "LICENSE-APACHE"] {
        assert!(packed.contains(file), "{file}\n{packed}");
    }
    assert!(!packed.contains("support.ts") && !packed.contains("node_modules"), "{packed}");
    let stage = Stage::new().await;
    fs::create_dir_all(folder.join("readme")).unwrap();
    let program = stage.program(&folder.join("README.md"), &TYPESCRIPT);
    fs::write(folder.join("readme/readme.ts"), program).unwrap();
    let compile = ["tsc", "-p", "tsconfig.readme.json"];
    said(in_folder(&folder, "npx", &compile)).await;
    stage.run(in_folder(&folder, "node", &["build/readme/readme.js"])).await;
}

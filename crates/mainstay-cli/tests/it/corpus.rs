//! The fuzz targets over their seeds and what is nearly one of them, so that neither rots.

#[expect(unreachable_pub, reason = "a library has them in `fuzz/`")]
#[path = "../../../../fuzz/src/targets.rs"]
mod targets;

/// Mutations of one seed at most: enough for each byte of a small one.
const MUTATIONS: usize = 300;

/// Runs a target over each of its seeds: whole, cut off, and with another byte here and there.
fn run(name: &str, target: fn(&[u8])) {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds");
    let seeds = std::fs::read_dir(format!("{folder}/{name}")).unwrap();
    let mut count = 0;
    for seed in seeds {
        let seed = std::fs::read(seed.unwrap().path()).unwrap();
        target(&seed);
        let step = seed.len().div_ceil(MUTATIONS).max(1);
        for at in (0..seed.len()).step_by(step) {
            target(&seed[..at]);
            for mask in [0x01, 0x20, 0x80, 0xff] {
                let mut other = seed.clone();
                other[at] ^= mask;
                target(&other);
            }
        }
        count += 1;
    }
    assert!(count > 0, "no seeds for {name}");
}

#[test]
fn resp() {
    run("resp", targets::resp);
}

#[test]
fn http() {
    run("http", targets::http);
}

#[test]
fn journal() {
    run("journal", targets::journal);
}

#[test]
fn blobs() {
    run("blobs", targets::blobs);
}

#[test]
fn quantities() {
    run("quantities", targets::quantities);
}

//! The package of this very binary, and what is handed out beside it.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use crate::support::{Run, Scratch};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[track_caller]
fn xtask(arguments: &[&str]) -> String {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command
        .args(["run", "--quiet", "--package", "xtask", "--"])
        .args(arguments)
        .current_dir(root());
    Run::of(&mut command).ok()
}

fn has(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

#[test]
fn the_debian_package_holds_what_a_server_needs() {
    if !has("dpkg-deb") {
        return;
    }
    let scratch = Scratch::new();
    let out = scratch.path().to_str().unwrap();
    xtask(&["package", "--binary", env!("CARGO_BIN_EXE_mainstay"), "--out", out, "--quick"]);
    let mut packages =
        std::fs::read_dir(scratch.path()).unwrap().flatten().map(|entry| entry.path());
    let package = packages.find(|path| path.extension().is_some_and(|end| end == "deb")).unwrap();
    let package = package.to_str().unwrap();

    let fields = scratch_run("dpkg-deb", &["--info", package]);
    assert!(fields.contains(concat!("Version: ", env!("CARGO_PKG_VERSION"), "-1")), "{fields}");
    assert!(fields.contains("Depends: libc6 (>= "), "{fields}");

    let unpacked = scratch.path().join("unpacked");
    scratch_run("dpkg-deb", &["-x", package, unpacked.to_str().unwrap()]);
    for path in [
        "usr/lib/systemd/system/mainstay.service",
        "usr/lib/systemd/system/mainstay@.service",
        "usr/share/man/man1/mainstay.1.gz",
        "usr/share/man/man1/mainstay-serve.1.gz",
        "usr/share/bash-completion/completions/mainstay",
        "usr/share/zsh/vendor-completions/_mainstay",
        "usr/share/fish/vendor_completions.d/mainstay.fish",
        "usr/share/doc/mainstay/copyright",
        "usr/share/doc/mainstay/changelog.Debian.gz",
        "usr/share/doc/mainstay/mainstay.cdx.json",
        "usr/share/doc/mainstay/examples/secrets.conf",
        "usr/share/mainstay/prometheus/alerts.yml",
        "etc/default/mainstay",
    ] {
        assert!(unpacked.join(path).is_file(), "{path}");
    }
    // The packed binary runs, and takes the packed configuration.
    let binary = unpacked.join("usr/bin/mainstay");
    let config = unpacked.join("etc/mainstay/mainstay.toml");
    let check = Run::of(Command::new(binary).args(["config", "check", "-c"]).arg(config)).ok();
    assert!(check.starts_with("valid"), "{check}");
    let sbom = std::fs::read_to_string(unpacked.join("usr/share/doc/mainstay/mainstay.cdx.json"));
    let sbom: serde_json::Value = serde_json::from_str(&sbom.unwrap()).unwrap();
    let components = sbom["components"].as_array().unwrap();
    assert!(components.iter().any(|part| part["name"] == "tokio" && part["hashes"].is_array()));
    assert!(components.iter().all(|part| part["licenses"].is_array()), "each has a license");
    if has("lintian") {
        let lintian = [
            "--fail-on",
            "error,warning",
            "--allow-root",
            "--suppress-tags",
            "bad-distribution-in-changes-file",
            package,
        ];
        scratch_run("lintian", &lintian);
    }
}

#[track_caller]
fn scratch_run(program: &str, arguments: &[&str]) -> String {
    Run::of(Command::new(program).args(arguments)).ok()
}

#[test]
fn the_units_are_sound_and_give_away_little() {
    if !has("systemd-analyze") {
        return;
    }
    let scratch = Scratch::new();
    let units = root().join("packaging/systemd");
    for name in ["mainstay.service", "mainstay@.service"] {
        // It looks whether the program is there.
        let unit = std::fs::read_to_string(units.join(name)).unwrap();
        let unit = unit.replace("/usr/bin/mainstay", env!("CARGO_BIN_EXE_mainstay"));
        let instance = name.replace("@.", "@one.");
        scratch.write(&instance, &unit.replace("Documentation=", "#Documentation="));
        let file = scratch.path().join(&instance);
        let verified = Run::of(Command::new("systemd-analyze").arg("verify").arg(&file));
        assert_eq!((verified.code, &*verified.stderr), (Some(0), ""), "{name}: {verified:?}");
        // 0 is nothing at risk, 100 is all; what is left is the network, and the files that anybody may read.
        let security = ["security", "--offline=true", "--threshold=15"];
        scratch_run("systemd-analyze", &[&security[..], &[file.to_str().unwrap()]].concat());
    }
}

#[test]
fn the_image_has_no_root_no_shell_and_a_health_check() {
    let dockerfile = std::fs::read_to_string(root().join("packaging/docker/Dockerfile")).unwrap();
    let stages: Vec<&str> = dockerfile.split("\nFROM ").collect();
    let last = stages.last().unwrap();
    assert!(last.starts_with("scratch\n"), "{last}");
    assert!(!last.contains("\nRUN "), "nothing can run in an empty image");
    for line in ["\nUSER 65532:65532\n", "\nENTRYPOINT [\"/mainstay\"]\n", "\nHEALTHCHECK "] {
        assert!(last.contains(line), "{line}");
    }
    // What the health check says is a command of the binary.
    let check = last.lines().find(|line| line.starts_with("HEALTHCHECK")).unwrap();
    let words = check.split_once("CMD ").unwrap().1;
    let words: Vec<String> = serde_json::from_str(words).unwrap();
    let scratch = Scratch::new();
    let arguments: Vec<&str> = words[1..].iter().map(String::as_str).collect();
    let refused =
        scratch.command(&arguments).env("MAINSTAY_URL", "http://127.0.0.1:1").output().unwrap();
    assert_eq!(refused.status.code(), Some(1), "nobody listens there: {refused:?}");
    // The compiler of the image is the one of the tests.
    let toolchain = std::fs::read_to_string(root().join("rust-toolchain.toml")).unwrap();
    let channel = toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap();
    assert!(dockerfile.contains(&format!("ARG RUST_VERSION={}\n", channel.trim_matches('"'))));
    if has("hadolint") {
        scratch_run("hadolint", &[root().join("packaging/docker/Dockerfile").to_str().unwrap()]);
    }
}

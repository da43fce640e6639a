//! The files of the package below a folder, each where Debian expects it, with its mode.
//! It must not know versions, nor what the package depends on.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use super::control::About;
use super::output;

/// A file of the source tree, its place in the package, and whether it is kept compressed.
const FILES: &[(&str, &str)] = &[
    ("packaging/systemd/mainstay.service", "usr/lib/systemd/system/mainstay.service"),
    ("packaging/systemd/mainstay@.service", "usr/lib/systemd/system/mainstay@.service"),
    ("packaging/systemd/secrets.conf", "usr/share/doc/mainstay/examples/secrets.conf"),
    ("packaging/debian/default", "etc/default/mainstay"),
    ("packaging/debian/lintian-overrides", "usr/share/lintian/overrides/mainstay"),
    ("contrib/prometheus/alerts.yml", "usr/share/mainstay/prometheus/alerts.yml"),
    ("contrib/grafana/mainstay.json", "usr/share/mainstay/grafana/mainstay.json"),
];
/// What is printed by the binary itself, and where it stands.
const COMPLETIONS: &[(&str, &str)] = &[
    ("bash", "usr/share/bash-completion/completions/mainstay"),
    ("zsh", "usr/share/zsh/vendor-completions/_mainstay"),
    ("fish", "usr/share/fish/vendor_completions.d/mainstay.fish"),
];
const MANUAL: &str = "usr/share/man/man1";
const SCRIPTS: &[&str] = &["postinst", "prerm", "postrm"];

/// Where from, and where to.
pub(super) struct Tree<'a> {
    pub(super) root: &'a Path,
    pub(super) staged: &'a Path,
}

impl Tree<'_> {
    /// Everything but the control files.
    pub(super) fn lay_out(&self, binary: &Path) -> Result<(), String> {
        self.write("usr/bin/mainstay", &read(binary)?, 0o755)?;
        let strip = ["--strip-unneeded", "--remove-section=.comment", "--remove-section=.note"];
        output(Command::new("strip").args(strip).arg(self.staged.join("usr/bin/mainstay")))?;
        for (from, to) in FILES {
            self.write(to, &read(&self.root.join(from))?, 0o644)?;
        }
        self.printed_by(binary)?;
        let license = text(&self.root.join("LICENSE-MIT"))?;
        let copyright = text(&self.root.join("packaging/debian/copyright"))?;
        let copyright = copyright.replace("@MIT@", &indented(&license));
        self.write("usr/share/doc/mainstay/copyright", copyright.as_bytes(), 0o644)?;
        let sbom = crate::sbom::document(self.root)?;
        self.write("usr/share/doc/mainstay/mainstay.cdx.json", sbom.as_bytes(), 0o644)?;
        let credentials = self.staged.join("etc/mainstay/credentials");
        fs::create_dir_all(&credentials).map_err(|error| error.to_string())?;
        mode(&credentials, 0o700)
    }

    /// The configuration, manual pages and completions of this very binary.
    fn printed_by(&self, binary: &Path) -> Result<(), String> {
        let say = |arguments: &[&str]| output(Command::new(binary).args(arguments));
        for (shell, to) in COMPLETIONS {
            self.write(to, say(&["completions", shell])?.as_bytes(), 0o644)?;
        }
        let manual = self.staged.join(MANUAL);
        output(Command::new(binary).args(["man", "--dir"]).arg(&manual))?;
        for page in fs::read_dir(&manual).map_err(|error| error.to_string())?.flatten() {
            mode(&page.path(), 0o644)?;
            output(Command::new("gzip").arg("-9n").arg(page.path()))?;
        }
        let config = self.staged.join("etc/mainstay/mainstay.toml");
        fs::create_dir_all(config.with_file_name("")).map_err(|error| error.to_string())?;
        output(Command::new(binary).args(["config", "init"]).arg(&config))?;
        mode(&config, 0o644)
    }

    /// What dpkg reads, and the changelog that names the version.
    pub(super) fn control(&self, about: &About) -> Result<(), String> {
        let log = self.staged.join("usr/share/doc/mainstay/changelog.Debian");
        fs::write(&log, about.changelog()).map_err(|error| error.to_string())?;
        mode(&log, 0o644)?;
        output(Command::new("gzip").arg("-9n").arg(&log))?;
        let sources = self.root.join("packaging/debian");
        for script in SCRIPTS {
            self.write(&format!("DEBIAN/{script}"), &read(&sources.join(script))?, 0o755)?;
        }
        self.write("DEBIAN/conffiles", &read(&sources.join("conffiles"))?, 0o644)?;
        self.write("DEBIAN/md5sums", self.sums()?.as_bytes(), 0o644)?;
        let control = about.fill(&text(&sources.join("control"))?, self.size()?);
        self.write("DEBIAN/control", control.as_bytes(), 0o644)
    }

    /// The sum of every file but those of `DEBIAN` and the configuration.
    fn sums(&self) -> Result<String, String> {
        let find = ["usr", "-type", "f", "-exec", "md5sum", "{}", "+"];
        let mut lines: Vec<String> =
            output(Command::new("find").args(find).current_dir(self.staged))?
                .lines()
                .map(|line| format!("{line}\n"))
                .collect();
        lines.sort_by(|a, b| a.split_once("  ").cmp(&b.split_once("  ")));
        Ok(lines.concat())
    }

    /// In KiB, as dpkg counts.
    fn size(&self) -> Result<u64, String> {
        let text = output(Command::new("du").args(["-sk", "--apparent-size"]).arg(self.staged))?;
        let number = text.split_whitespace().next().and_then(|number| number.parse().ok());
        number.ok_or_else(|| format!("du printed {text:?}"))
    }

    fn write(&self, to: &str, contents: &[u8], with: u32) -> Result<(), String> {
        let path = self.staged.join(to);
        let folder = path.parent().unwrap_or(self.staged);
        let written = fs::create_dir_all(folder).and_then(|()| fs::write(&path, contents));
        written.map_err(|error| format!("{}: {error}", path.display()))?;
        mode(&path, with)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn text(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

fn mode(path: &Path, mode: u32) -> Result<(), String> {
    let set = fs::set_permissions(path, fs::Permissions::from_mode(mode));
    set.map_err(|error| format!("{}: {error}", path.display()))
}

/// As a field of a control file goes on: each line one space in, an empty one as a dot.
fn indented(text: &str) -> String {
    let line =
        |line: &str| if line.trim().is_empty() { " .".to_owned() } else { format!(" {line}") };
    let body =
        text.lines().skip_while(|line| line.trim() == "MIT License" || line.trim().is_empty());
    body.map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_license_goes_on_as_a_field_does() {
        assert_eq!(
            indented("MIT License\n\nCopyright (c)\n\nPermission\n"),
            " Copyright (c)\n .\n Permission"
        );
    }

    #[test]
    fn every_file_that_is_packed_exists() {
        for (from, _) in FILES {
            assert!(crate::root().join(from).is_file(), "{from}");
        }
    }
}

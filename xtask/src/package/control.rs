//! What the package says of itself: version, architecture, what it depends on, its changelog.
//! It must not know which files it has.

use std::path::Path;
use std::process::Command;

use super::output;

/// The revision of the package of one version.
const REVISION: u32 = 1;
/// Where the package tools see no shared library: a static binary needs none.
const NOTHING: &str = "init-system-helpers (>= 1.54~)";

/// The values of the fields.
#[derive(Debug)]
pub(super) struct About {
    pub(super) version: String,
    pub(super) architecture: String,
    depends: String,
    /// RFC 5322, of the commit that is packed.
    date: String,
}

impl About {
    pub(super) fn of(root: &Path, staged: &Path, binary: &Path) -> Result<Self, String> {
        let printed = output(Command::new(binary).arg("--version"))?;
        let number = printed.split_whitespace().nth(1).ok_or("the binary names no version")?;
        let architecture = output(Command::new("dpkg").arg("--print-architecture"))?;
        let commit =
            Command::new("git").args(["log", "-1", "--format=%aD"]).current_dir(root).output();
        let date =
            commit.ok().map(|commit| String::from_utf8_lossy(&commit.stdout).trim().to_owned());
        Ok(Self {
            version: format!("{}-{REVISION}", number.replace('-', "~")),
            architecture: architecture.trim().to_owned(),
            depends: depends(staged)?,
            date: date
                .filter(|date| !date.is_empty())
                .unwrap_or_else(|| "Thu, 01 Jan 1970 00:00:00 +0000".to_owned()),
        })
    }

    pub(super) fn fill(&self, control: &str, size: u64) -> String {
        control
            .replace("@VERSION@", &self.version)
            .replace("@ARCHITECTURE@", &self.architecture)
            .replace("@DEPENDS@", &self.depends)
            .replace("@SIZE@", &size.to_string())
    }

    pub(super) fn changelog(&self) -> String {
        format!(
            "mainstay ({}) unstable; urgency=medium\n\n  * What has changed stands in the CHANGELOG.md of this version.\n\n \
             -- The Mainstay maintainers <maintainers@mainstay.invalid>  {}\n",
            self.version, self.date
        )
    }
}

/// The libraries that the binary is linked with, at the versions that it needs.
fn depends(staged: &Path) -> Result<String, String> {
    // dpkg-shlibdeps reads a source package's control file.
    let work = staged.with_extension("shlibdeps");
    let debian = work.join("debian");
    let written = std::fs::create_dir_all(&debian).and_then(|()| {
        std::fs::write(
            debian.join("control"),
            "Source: mainstay\n\nPackage: mainstay\nArchitecture: any\n",
        )
    });
    written.map_err(|error| format!("{}: {error}", debian.display()))?;
    let binary = staged.join("usr/bin/mainstay");
    let printed = output(Command::new("dpkg-shlibdeps").arg("-O").arg(&binary).current_dir(&work));
    let removed = std::fs::remove_dir_all(&work);
    removed.map_err(|error| format!("{}: {error}", work.display()))?;
    let line = printed?;
    Ok(match line.trim().strip_prefix("shlibs:Depends=") {
        Some(libraries) if !libraries.is_empty() => format!("{libraries}, {NOTHING}"),
        _ => NOTHING.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fields_are_filled() {
        let about = About {
            version: "0.1.0~rc.1-1".to_owned(),
            architecture: "amd64".to_owned(),
            depends: NOTHING.to_owned(),
            date: "Fri, 27 Nov 2026 08:00:00 +0000".to_owned(),
        };
        let template =
            std::fs::read_to_string(crate::root().join("packaging/debian/control")).unwrap();
        let control = about.fill(&template, 42);
        assert!(!control.contains('@') || control.matches('@').count() == 1, "{control}");
        assert!(
            control.contains("\nVersion: 0.1.0~rc.1-1\n")
                && control.contains("\nInstalled-Size: 42\n")
        );
        assert!(about.changelog().starts_with("mainstay (0.1.0~rc.1-1) unstable;"));
    }
}

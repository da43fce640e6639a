//! The bill of materials of the binary, CycloneDX 1.5 as JSON: what is linked in, with licenses and sums.
//! It must not ask the network: `cargo tree` and Cargo.lock know it all.

mod json;
mod lock;
mod tree;

use std::path::Path;
use std::process::ExitCode;

use crate::step::cargo;
use json::Json;
use tree::Package;

/// The command: writes `target/package/mainstay.cdx.json`.
pub(crate) fn run(root: &Path) -> ExitCode {
    let file = root.join("target/package/mainstay.cdx.json");
    let written = document(root).and_then(|text| {
        let folder = file.parent().unwrap_or(root);
        let written = std::fs::create_dir_all(folder).and_then(|()| std::fs::write(&file, text));
        written.map_err(|error| format!("{}: {error}", file.display()))
    });
    match written {
        Ok(()) => {
            println!("sbom: {}", file.display());
            ExitCode::SUCCESS
        }
        Err(problem) => {
            println!("sbom: {problem}");
            ExitCode::FAILURE
        }
    }
}

/// The document. The same sources give the same bytes.
pub(crate) fn document(root: &Path) -> Result<String, String> {
    let output = cargo().args(tree::COMMAND).current_dir(root).output();
    let output = output.map_err(|error| format!("cargo tree: {error}"))?;
    if !output.status.success() {
        return Err(format!("cargo tree: {}", String::from_utf8_lossy(&output.stderr)));
    }
    let lock = std::fs::read_to_string(root.join("Cargo.lock"));
    let lock = lock.map_err(|error| format!("Cargo.lock: {error}"))?;
    let mut packages = tree::packages(&String::from_utf8_lossy(&output.stdout))?;
    packages.push(plot(root)?);
    Ok(render(&packages, &lock::sums(&lock)))
}

/// The one library of the dashboard, which no package manager knows of.
fn plot(root: &Path) -> Result<Package, String> {
    let file = root.join("crates/mainstay-server/web/vendor/uPlot.iife.min.js");
    let text = std::fs::read_to_string(&file);
    let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
    let version = text.split_once("(v").and_then(|(_, rest)| rest.split_once(')'));
    let (version, _) = version.ok_or_else(|| format!("{} names no version", file.display()))?;
    Ok(Package {
        registry: "npm",
        name: "uplot".to_owned(),
        version: version.to_owned(),
        license: "MIT".to_owned(),
        needs: std::collections::BTreeSet::new(),
    })
}

fn render(packages: &[Package], sums: &lock::Sums) -> String {
    let (subject, parts) =
        packages.split_first().map_or((None, packages), |(first, rest)| (Some(first), rest));
    let component = |package: &Package| {
        let kind = if subject.is_some_and(|subject| subject.id() == package.id()) {
            "application"
        } else {
            "library"
        };
        let mut fields = vec![
            ("type", Json::text(kind)),
            ("bom-ref", Json::text(package.id())),
            ("name", Json::text(&package.name)),
            ("version", Json::text(&package.version)),
            ("purl", Json::text(package.id())),
        ];
        if !package.license.is_empty() {
            let expression =
                Json::object([("expression", Json::text(package.license.replace('/', " OR ")))]);
            fields.push(("licenses", Json::List(vec![expression])));
        }
        if let Some(sum) = sums.get(&(package.name.clone(), package.version.clone())) {
            let hash = Json::object([("alg", Json::text("SHA-256")), ("content", Json::text(sum))]);
            fields.push(("hashes", Json::List(vec![hash])));
        }
        Json::object(fields)
    };
    let needs = |package: &Package| {
        let on = package.needs.iter().map(Json::text).collect();
        Json::object([("ref", Json::text(package.id())), ("dependsOn", Json::List(on))])
    };
    let metadata = subject.map_or(Vec::new(), |subject| vec![("component", component(subject))]);
    let document = Json::object([
        ("bomFormat", Json::text("CycloneDX")),
        ("specVersion", Json::text("1.5")),
        ("version", Json::Number(1)),
        ("metadata", Json::object(metadata)),
        ("components", Json::List(parts.iter().map(component).collect())),
        ("dependencies", Json::List(packages.iter().map(needs).collect())),
    ]);
    format!("{document}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_names_each_package_once_with_its_license_and_sum() {
        let tree = "0mainstay-cli v0.1.0 (/src)\tMIT OR Apache-2.0\n1bytes v1.0.0\tMIT/Apache-2.0\n1bytes v1.0.0\tMIT/Apache-2.0 (*)\n";
        let lock = "[[package]]\nname = \"bytes\"\nversion = \"1.0.0\"\nchecksum = \"ab\"\n";
        let text = render(&tree::packages(tree).unwrap(), &lock::sums(lock));
        assert_eq!(text.matches("\"name\":\"bytes\"").count(), 1, "{text}");
        for part in [
            r#""metadata":{"component":{"type":"application","bom-ref":"pkg:cargo/mainstay-cli@0.1.0""#,
            r#""licenses":[{"expression":"MIT OR Apache-2.0"}]"#,
            r#""hashes":[{"alg":"SHA-256","content":"ab"}]"#,
            r#"{"ref":"pkg:cargo/mainstay-cli@0.1.0","dependsOn":["pkg:cargo/bytes@1.0.0"]}"#,
        ] {
            assert!(text.contains(part), "{part}\n{text}");
        }
    }
}

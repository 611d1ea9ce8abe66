//! `semroute model`: fetch, list and verify embedding models.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use comfy_table::presets::NOTHING;
use comfy_table::{CellAlignment, Table};
use indicatif::HumanBytes;
use serde_json::{Value, json};

use super::progress::ModelProgress;
use super::{Exit, print};
use crate::model::{
    Depth, FileReport, FileStatus, Listing, Model, ModelError, ModelFiles, ModelState, PullOptions, Registry, Result,
    SharedProgress, SourceSpec, pull,
};

/// Fetch, list and verify embedding models.
///
/// A model is a folder under the models folder. Its model.toml names the vectors' dimension, the pooling, every file
/// with size and SHA-256, and the sources to try in order. To add a model of your own, put such a folder there: any BERT
/// sentence encoder will do (config.json, tokenizer.json, model.safetensors, usually 1_Pooling/config.json), with or
/// without a model.toml.
#[derive(Debug, Args)]
pub struct ModelArgs {
    #[command(subcommand)]
    command: ModelCommand,
}

#[derive(Debug, Subcommand)]
enum ModelCommand {
    /// Fetch what is missing of a model.
    ///
    /// Tries the sources of its model.toml in order and says why one failed. Every file is checked against size and
    /// SHA-256 before it takes its place, so an interrupted pull leaves nothing half done and can simply be repeated.
    /// Files that are there and right are not fetched again; files that are damaged are replaced.
    #[command(after_help = "Examples:\n  \
        semroute model pull\n  \
        semroute model pull all-MiniLM-L6-v2 --source /mnt/stick/models")]
    Pull {
        /// The model, as `semroute model list` names it [default: the configured one].
        name: Option<String>,
        /// Take the files from this folder and from nowhere else: the model's own folder, or one that holds it.
        #[arg(long, value_name = "DIR")]
        source: Option<PathBuf>,
        /// Pull every model of the models folder.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
    /// List the models and their state, without reading the weights.
    ///
    /// States: verified (every file was hashed since it last changed), present (right sizes, not hashed yet), missing,
    /// damaged, invalid (its model.toml cannot be used).
    List {
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
    },
    /// Hash every file of a model and compare it with model.toml.
    ///
    /// Also checks that the files are a BERT encoder of the named dimension. Exit code 1 if anything is missing or
    /// damaged. Prints the fingerprint: stored vectors belong to one fingerprint and are used with no other.
    Verify {
        /// The model [default: the configured one].
        name: Option<String>,
        /// Print JSON instead of a table.
        #[arg(long)]
        json: bool,
        /// Verify every model of the models folder.
        #[arg(long, conflicts_with = "name")]
        all: bool,
    },
}

/// Runs the command. `default_name` is the configured model; `options` come from the configuration.
///
/// Errors: what [`pull`] and [`Registry`] return, and a standard output that cannot be written.
pub async fn run(args: ModelArgs, registry: &Registry, default_name: &str, options: &PullOptions) -> Result<Exit> {
    let progress = ModelProgress::shared();
    match args.command {
        ModelCommand::Pull { name, source, all } => {
            for listing in chosen(registry, name, all, default_name)? {
                let mut model = listing.model?;
                if let Some(dir) = &source {
                    model.manifest.sources = vec![SourceSpec::Folder { path: Some(dir.clone()) }];
                }
                show(&pulled(&pull(&model, options, &progress).await?))?;
            }
            Ok(Exit::Success)
        }
        ModelCommand::List { json } => {
            let listings = registry.list()?;
            show(&if json {
                list_json(&listings, default_name)?
            } else {
                list_table(registry, &listings, default_name)?
            })?;
            Ok(Exit::Success)
        }
        ModelCommand::Verify { name, json, all } => {
            let listings = chosen(registry, name, all, default_name)?;
            // Hashing 90 MB is too long for a thread of the runtime.
            let verified = tokio::task::spawn_blocking(move || verify(listings, &progress)).await;
            let verified = verified.map_err(|error| output_error(std::io::Error::other(error)))??;
            show(&if json { verified_json(&verified)? } else { verified_text(&verified) })?;
            Ok(if verified.iter().all(|model| model.files.is_ok()) { Exit::Success } else { Exit::Failure })
        }
    }
}

fn chosen(registry: &Registry, name: Option<String>, all: bool, default_name: &str) -> Result<Vec<Listing>> {
    if all {
        return registry.list();
    }
    let model = registry.find(name.as_deref().unwrap_or(default_name))?;
    Ok(vec![Listing { name: model.name().to_owned(), dir: model.dir.clone(), model: Ok(model) }])
}

fn pulled(files: &ModelFiles) -> String {
    let manifest = files.manifest();
    format!("{}: whole, fingerprint {}, in {}", manifest.name, files.fingerprint(), files.dir().display())
}

fn list_table(registry: &Registry, listings: &[Listing], default_name: &str) -> Result<String> {
    if listings.is_empty() {
        return Ok(format!("No models in {}.", registry.dir().display()));
    }
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(["NAME", "STATE", "DIMENSION", "POOLING", "TOKENS", "SIZE"]);
    let mut faults = Vec::new();
    for listing in listings {
        let default = if listing.name == default_name { " (default)" } else { "" };
        let name = format!("{}{default}", listing.name);
        let (state, fault) = state(listing)?;
        faults.extend(fault.map(|fault| format!("{}: {fault}", listing.name)));
        match &listing.model {
            Ok(Model { manifest, .. }) => table.add_row([
                name,
                state.to_owned(),
                manifest.dimension.to_string(),
                manifest.pooling.as_str().to_owned(),
                manifest.max_tokens.to_string(),
                HumanBytes(size(listing)).to_string(),
            ]),
            Err(_) => table.add_row([name, state.to_owned()]),
        };
    }
    for column in [2, 4, 5] {
        if let Some(column) = table.column_mut(column) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    faults.insert(0, text_of(table));
    Ok(faults.join("\n"))
}

/// One word, and what there is to say beyond it.
fn state(listing: &Listing) -> Result<(&'static str, Option<String>)> {
    let model = match &listing.model {
        Ok(model) => model,
        Err(error) => return Ok(("invalid", Some(error.to_string()))),
    };
    Ok(match model.state()? {
        ModelState::Verified => ("verified", None),
        ModelState::Present => ("present", None),
        ModelState::Missing(files) => {
            ("missing", Some(format!("lacks {}; `semroute model pull {}` fetches it", files.join(", "), listing.name)))
        }
        ModelState::Damaged(faults) => {
            ("damaged", Some(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")))
        }
    })
}

/// In bytes: what the manifest says, else what lies there.
fn size(listing: &Listing) -> u64 {
    let Ok(model) = &listing.model else { return 0 };
    let bytes = |path: &Path| std::fs::metadata(path).map_or(0, |metadata| metadata.len());
    model.manifest.files.iter().map(|file| file.size.unwrap_or_else(|| bytes(&model.dir.join(&file.path)))).sum()
}

fn list_json(listings: &[Listing], default_name: &str) -> Result<String> {
    let mut models = Vec::new();
    for listing in listings {
        let (state, fault) = state(listing)?;
        models.push(json!({
            "name": listing.name,
            "default": listing.name == default_name,
            "state": state,
            "fault": fault,
            "bytes": size(listing),
            "dir": listing.dir,
            "manifest": listing.model.as_ref().ok().map(|model| &model.manifest),
        }));
    }
    pretty(&Value::Array(models))
}

/// A model after a full look: each file, and what they amount to.
struct Verified {
    name: String,
    reports: Vec<FileReport>,
    files: Result<ModelFiles>,
}

fn verify(listings: Vec<Listing>, progress: &SharedProgress) -> Result<Vec<Verified>> {
    let verify_one = |listing: Listing| {
        let model = match listing.model {
            Ok(model) => model,
            Err(error) => return Ok(Verified { name: listing.name, reports: Vec::new(), files: Err(error) }),
        };
        let reports = model.inspect(Depth::Full, progress)?;
        let files = model.resolve(&reports);
        Ok(Verified { name: listing.name, reports, files })
    };
    listings.into_iter().map(verify_one).collect()
}

fn verified_text(verified: &[Verified]) -> String {
    let mut parts = Vec::new();
    for model in verified {
        let mut table = Table::new();
        table.load_style(NOTHING).set_header(["FILE", "BYTES", "SHA-256", "STATE"]);
        for report in &model.reports {
            let (size, sha256, state) = match &report.status {
                FileStatus::Whole { size, sha256 } => (size.to_string(), sha256.to_string(), "whole"),
                FileStatus::Unchecked { size } => (size.to_string(), String::new(), "unchecked"),
                FileStatus::Missing => (String::new(), String::new(), "missing"),
                FileStatus::Damaged(_) => (String::new(), String::new(), "damaged"),
            };
            table.add_row([report.path.clone(), size, sha256, state.to_owned()]);
        }
        if !model.reports.is_empty() {
            parts.push(text_of(table));
        }
        parts.push(match &model.files {
            Ok(files) => format!("{}: whole, fingerprint {}", model.name, files.fingerprint()),
            Err(error) => error.to_string(),
        });
    }
    parts.join("\n")
}

fn verified_json(verified: &[Verified]) -> Result<String> {
    let file = |report: &FileReport| match &report.status {
        FileStatus::Whole { size, sha256 } => {
            json!({"path": report.path, "state": "whole", "size": size, "sha256": sha256})
        }
        FileStatus::Unchecked { size } => json!({"path": report.path, "state": "unchecked", "size": size}),
        FileStatus::Missing => json!({"path": report.path, "state": "missing"}),
        FileStatus::Damaged(fault) => json!({
            "path": report.path, "state": "damaged", "expected": fault.expected, "found": fault.found,
        }),
    };
    let models = verified.iter().map(|model| {
        json!({
            "name": model.name,
            "whole": model.files.is_ok(),
            "fingerprint": model.files.as_ref().ok().map(ModelFiles::fingerprint),
            "fault": model.files.as_ref().err().map(ToString::to_string),
            "files": model.reports.iter().map(file).collect::<Vec<_>>(),
        })
    });
    pretty(&Value::Array(models.collect()))
}

/// Columns two spaces apart, and nothing else drawn: as easy to cut with a tool as to read.
fn text_of(mut table: Table) -> String {
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.trim_fmt()
}

fn pretty(value: &Value) -> Result<String> {
    serde_json::to_string_pretty(value).map_err(|error| output_error(error.into()))
}

fn show(text: &str) -> Result<()> {
    print(text).map_err(output_error)
}

fn output_error(error: std::io::Error) -> ModelError {
    ModelError::io("write to", Path::new("standard output"))(error)
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::model::Silent;
    use crate::model::testing::TinyModel;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        model: ModelArgs,
    }

    async fn exit(tiny: &TinyModel, arguments: &[&str]) -> Result<Exit> {
        let cli = Cli::try_parse_from([&["model"], arguments].concat()).unwrap();
        let registry = Registry::new(tiny.dir().parent().unwrap());
        run(cli.model, &registry, "tiny", &PullOptions::default()).await
    }

    fn listings(tiny: &TinyModel) -> Vec<Listing> {
        Registry::new(tiny.dir().parent().unwrap()).list().unwrap()
    }

    #[test]
    fn the_arguments_are_consistent() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["model", "pull", "tiny", "--all"]).is_err());
    }

    #[tokio::test]
    async fn pull_takes_from_the_named_folder_and_from_nowhere_else() {
        let tiny = TinyModel::empty("[[sources]]\nkind = \"hub\"\nrepository = \"owner/tiny\"\n");
        let copy = tempfile::tempdir().unwrap();
        let source = copy.path().to_str().unwrap();
        let error = exit(&tiny, &["pull", "--source", source]).await.unwrap_err().to_string();
        assert!(error.contains("tried local folder") && !error.contains("Hub"), "{error}");
        tiny.put_files(copy.path());
        assert_eq!(exit(&tiny, &["pull", "--source", source]).await.unwrap(), Exit::Success);
        tiny.assert_whole();
        assert_eq!(exit(&tiny, &["pull", "--all"]).await.unwrap(), Exit::Success);
        assert!(matches!(exit(&tiny, &["pull", "other"]).await, Err(ModelError::Unknown { .. })));
    }

    #[tokio::test]
    async fn verify_fails_on_a_damaged_model() {
        let tiny = TinyModel::new();
        tiny.write_manifest("");
        assert_eq!(exit(&tiny, &["verify"]).await.unwrap(), Exit::Success);
        assert_eq!(exit(&tiny, &["verify", "--all", "--json"]).await.unwrap(), Exit::Success);
        tiny.rewrite("tokenizer.json", |bytes| bytes[0] ^= 1);
        assert_eq!(exit(&tiny, &["verify"]).await.unwrap(), Exit::Failure);
        let verified = verify(listings(&tiny), &Silent::shared()).unwrap();
        let text = verified_text(&verified);
        assert!(text.contains("model tiny is damaged: ") && text.contains("tokenizer.json: expected sha256"), "{text}");
        let found: Value = serde_json::from_str(&verified_json(&verified).unwrap()).unwrap();
        assert_eq!((&found[0]["whole"], &found[0]["files"][1]["state"]), (&json!(false), &json!("damaged")));
    }

    #[tokio::test]
    async fn list_shows_every_model_with_its_state() {
        let tiny = TinyModel::empty("");
        let models = tiny.dir().parent().unwrap();
        std::fs::create_dir(models.join("broken")).unwrap();
        std::fs::write(models.join("broken/model.toml"), "x").unwrap();
        assert_eq!(exit(&tiny, &["list"]).await.unwrap(), Exit::Success);
        let text = list_table(&Registry::new(models), &listings(&tiny), "tiny").unwrap();
        for expected in ["broken", "invalid", "tiny (default)", "missing", "tiny: lacks config.json, tokenizer.json"] {
            assert!(text.contains(expected), "{expected}: {text}");
        }
        tiny.put_files(tiny.dir());
        let found: Value = serde_json::from_str(&list_json(&listings(&tiny), "tiny").unwrap()).unwrap();
        assert_eq!((&found[1]["state"], &found[1]["manifest"]["dimension"]), (&json!("present"), &json!(4)));
        let nowhere = Registry::new(models.join("nowhere"));
        assert!(list_table(&nowhere, &[], "tiny").unwrap().starts_with("No models in "));
    }
}

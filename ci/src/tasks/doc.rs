//! The reference documentation builds, and its links lead somewhere.

use super::{Context, Task};
use crate::{command, outcome::Outcome};

pub(super) static TASK: Task = Task {
    name: "doc",
    about: "rustdoc finds nothing, private items included",
    run,
};

fn run(context: &Context) -> Outcome {
    let arguments = [
        "doc",
        "--workspace",
        "--features",
        super::test::FEATURES,
        "--no-deps",
        "--document-private-items",
    ];
    let mut command = context.workspace.cargo(&arguments);
    // With private items documented, a crate's map may link to its private modules.
    let flags = "-D warnings -A rustdoc::private_intra_doc_links";
    command.env("RUSTDOCFLAGS", flags);
    match command::run(&mut command, command::TIME_LIMIT) {
        ended if ended.is_success() => Outcome::passed(),
        ended => Outcome::failed(format!("cargo doc: {}", ended.describe())),
    }
}

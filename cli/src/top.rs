//! `ebbline top`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use terminal::Colour;
use top::{Theme, View};
use triage::Options;

use crate::techniques;

/// Watch a running agent, or a folder of results, in a terminal.
///
/// Rates, losses, findings as they come, incidents, and down to the reasons and the processes around a row. Without DIR it asks
/// the agent on this machine, and watches the folder that the agent writes to. It only reads. `?` shows the keys.
#[derive(Args)]
#[command(after_help = "\
Examples:
  ebbline top                                       the agent on this machine (as its user, or root)
  ebbline top scored/ --archive archive/            results of `ebbline score`
  ebbline top /var/lib/ebbline --socket /run/ebbline/agent.sock      both")]
pub(crate) struct TopArgs {
    /// The folder that was given to `score --out`, or the archive of an agent that scores.
    #[arg(value_name = "DIR")]
    dir: Option<PathBuf>,
    /// The status socket of the agent to ask; without DIR that of this machine's agent.
    #[arg(long, value_name = "PATH")]
    socket: Option<PathBuf>,
    /// Where the rows are that were scored, if not in DIR; more than once for several archives.
    #[arg(long, value_name = "FOLDER", requires = "dir")]
    archive: Vec<PathBuf>,
    /// Take the findings of this baseline alone: its id, as the folders in DIR/findings are called.
    #[arg(long, value_name = "ID", requires = "dir")]
    baseline_id: Option<String>,
    /// The baseline that was scored with, for lenses that do not come with Ebbline.
    #[arg(long, value_name = "BASELINE")]
    baseline: Option<PathBuf>,
}

/// Shows it until somebody ends it.
pub(crate) fn run(args: TopArgs, color: Colour) -> Result<bool> {
    let given = args.baseline.as_deref().map(crate::baseline::load).transpose()?;
    let lenses = techniques::lenses(given.map(|baseline| baseline.parts().lenses.clone()));
    let socket = args.socket.or_else(|| args.dir.is_none().then(|| top::SOCKET.into()));
    let folder = args.dir.map(|out| Options { out, archives: args.archive, baseline: args.baseline_id });
    let theme = match color {
        Colour::Auto => None,
        Colour::Always => Some(Theme::Colour),
        Colour::Never => Some(Theme::Plain),
    };
    top::run(View { socket, folder, lenses, theme })?;
    Ok(false)
}

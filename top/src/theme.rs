//! Colours. They repeat what words and marks say: without them nothing is missing.

use ratatui::style::{Color, Modifier, Style};
pub use terminal::Role;

/// How roles look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Theme {
    /// In the terminal's 16 colours, which people have chosen for themselves.
    Colour,
    /// Bold and reverse alone.
    Plain,
    /// Text alone.
    Bare,
}

impl Theme {
    /// What the environment asks for: <https://no-color.org>, and terminals that know nothing.
    #[must_use]
    pub fn of_environment() -> Self {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        match (set("TERM"), set("NO_COLOR")) {
            (Some(term), _) if term == "dumb" => Self::Bare,
            (_, Some(_)) => Self::Plain,
            _ => Self::Colour,
        }
    }

    /// The style of a role.
    #[must_use]
    pub fn style(self, role: Role) -> Style {
        let plain = match (self, role) {
            (Self::Bare, _) => return Style::new(),
            (_, Role::Head | Role::Strong | Role::Bad) => Style::new().add_modifier(Modifier::BOLD),
            (_, Role::Dim) => Style::new().add_modifier(Modifier::DIM),
            _ => Style::new(),
        };
        let colour = match role {
            Role::Good => Color::Green,
            Role::Warn => Color::Yellow,
            Role::Bad => Color::Red,
            Role::Value | Role::Number => Color::Cyan,
            _ => return plain,
        };
        if self == Self::Colour { plain.fg(colour) } else { plain }
    }

    /// The style of the line that a key would open; a mark stands before it, too.
    #[must_use]
    pub fn selected(self) -> Style {
        if self == Self::Bare { Style::new() } else { Style::new().add_modifier(Modifier::REVERSED) }
    }
}

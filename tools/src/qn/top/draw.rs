//! The view on a screen: nodes, the paths of the one selected, links, and what was dropped.

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Modifier, Style},
    text::Line,
    widgets::{Block, Borders, Cell, Paragraph, Row, Table, TableState},
};

use super::model::{Model, Rate};
use crate::qn::stats::{self, histogram, size, time};

const HELP: &str = "q quit  up/down, page, home/end node  space pause  +/- faster, slower";

/// Draws everything; what a small screen has no room for is cut off at the bottom and at the right.
pub(super) fn draw(frame: &mut Frame<'_>, model: &Model) {
    let stats = model.stats();
    let paths = model.selected_peer().map_or(0, |peer| peer.paths.len());
    let [title, nodes, paths_area, links, notes, help] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(4),
        Constraint::Length(table_height(paths) + 1),
        Constraint::Length(table_height(stats.links.len())),
        Constraint::Length(2),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    frame.render_widget(heading(model), title);
    draw_nodes(frame, nodes, model);
    draw_paths(frame, paths_area, model);
    draw_links(frame, links, model);
    frame.render_widget(notes_of(model), notes);
    frame.render_widget(Paragraph::new(HELP).style(dim()), help);
}

/// Border, heading and rows.
fn table_height(rows: usize) -> u16 {
    2 + u16::try_from(rows).unwrap_or(u16::MAX).min(8)
}

fn heading(model: &Model) -> Paragraph<'_> {
    let stats = model.stats();
    let paused = if model.is_paused() { ", paused" } else { "" };
    let text = format!(
        "{}: {}; unanswered out {}, in {}; connections out {}, in {}; every {:.2} s{paused}",
        stats.node,
        nodes_counted(stats.nodes.len()),
        stats.pending_out,
        stats.pending_in,
        stats.connections_out,
        stats.connections_in,
        model.every().as_secs_f64(),
    );
    Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
}

fn nodes_counted(count: usize) -> String {
    match count {
        1 => "1 node".to_owned(),
        count => format!("{count} nodes"),
    }
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let row = |peer: &stats::Peer| {
        Row::new([
            Cell::new(peer.name.clone()),
            state(&peer.state),
            Cell::new(time(peer.rtt_ns)),
            Cell::new(count(model.peer_rate(peer, |peer| peer.messages_sent))),
            Cell::new(count(model.peer_rate(peer, |peer| peer.messages_received))),
            Cell::new(bytes(model.peer_rate(peer, |peer| peer.bytes_sent))),
            Cell::new(bytes(model.peer_rate(peer, |peer| peer.bytes_received))),
            Cell::new(count(model.peer_rate(peer, |peer| peer.frames_sent))),
            Cell::new(count(model.peer_rate(peer, |peer| peer.packets_lost))),
            Cell::new(count(model.peer_rate(peer, |peer| peer.probe_timeouts))),
        ])
    };
    // Of six letters at most: so wide are the columns of a screen of 80.
    let head = [
        "NODE", "STATE", "RTT", "OUT", "IN", "B OUT", "B IN", "FRAMES", "LOST", "PROBES",
    ];
    let widths = [Constraint::Fill(2), Constraint::Length(10)]
        .into_iter()
        .chain([Constraint::Fill(1); 8]);
    let table = Table::new(model.stats().nodes.iter().map(row), widths)
        .header(header(&head))
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(
            Block::new()
                .borders(Borders::TOP)
                .title("nodes; per second: messages, bytes, frames, losses, probe timeouts"),
        );
    let mut place = TableState::new().with_selected(Some(model.selected()));
    frame.render_stateful_widget(table, area, &mut place);
}

fn draw_paths(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let Some(peer) = model.selected_peer() else {
        return;
    };
    let row = |path: &stats::Path| {
        Row::new([
            Cell::new(path.interface.clone()),
            state(&path.state),
            Cell::new(time(path.rtt_ns)),
            Cell::new(size(path.window_len as f64)),
            Cell::new(size(path.in_flight_len as f64)),
            Cell::new(path.mtu.to_string()),
            Cell::new(bytes(model.path_rate(path, |path| path.bytes_sent))),
            Cell::new(bytes(model.path_rate(path, |path| path.bytes_received))),
            Cell::new(path.packets_lost.to_string()),
            Cell::new(path.failures.to_string()),
        ])
    };
    let head = [
        "LINK", "STATE", "RTT", "WINDOW", "FLYING", "MTU", "B OUT/s", "B IN/s", "LOST", "FAILED",
    ];
    let widths = [Constraint::Fill(1), Constraint::Length(10)]
        .into_iter()
        .chain([Constraint::Fill(1); 8]);
    let title = format!(
        "paths to {}: {}; records per frame: {}",
        peer.name,
        stats::state_text(peer),
        histogram(&peer.bundles_sent)
    );
    let table = Table::new(peer.paths.iter().map(row), widths)
        .header(header(&head))
        .block(Block::new().borders(Borders::TOP).title(title));
    frame.render_widget(table, area);
}

fn draw_links(frame: &mut Frame<'_>, area: Rect, model: &Model) {
    let row = |link: &stats::Link| {
        Row::new([
            Cell::new(link.interface.clone()),
            state(if link.carrier { "up" } else { "down" }),
            Cell::new(count(model.link_rate(link, |link| link.frames_sent))),
            Cell::new(count(model.link_rate(link, |link| link.frames_received))),
            Cell::new(bytes(model.link_rate(link, |link| link.bytes_sent))),
            Cell::new(bytes(model.link_rate(link, |link| link.bytes_received))),
            Cell::new(link.sends_failed.to_string()),
            Cell::new(
                link.drops()
                    .map(|(_, count)| count)
                    .sum::<u64>()
                    .to_string(),
            ),
        ])
    };
    let head = [
        "LINK", "CARRIER", "OUT/s", "IN/s", "B OUT/s", "B IN/s", "REFUSED", "DROPPED",
    ];
    let widths = [Constraint::Fill(1), Constraint::Length(10)]
        .into_iter()
        .chain([Constraint::Fill(1); 6]);
    let links = &model.stats().links;
    let batches = histogram(&model.stats().link.batches);
    let title = format!("links; frames per system call: {batches}");
    let table = Table::new(links.iter().map(row), widths)
        .header(header(&head))
        .block(Block::new().borders(Borders::TOP).title(title));
    frame.render_widget(table, area);
}

/// What is wrong, if anything is, and what was dropped.
fn notes_of(model: &Model) -> Paragraph<'_> {
    let dropped = model.stats().dropped.iter();
    let dropped: Vec<_> = dropped
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let dropped = if dropped.is_empty() {
        "nothing".to_owned()
    } else {
        dropped.join(", ")
    };
    let fault = model.fault().unwrap_or_default();
    Paragraph::new(vec![
        Line::from(format!("dropped: {dropped}")),
        Line::styled(fault.to_owned(), Style::new().fg(Color::Red)),
    ])
}

fn header(names: &[&'static str]) -> Row<'static> {
    Row::new(names.iter().map(|name| Cell::new(*name))).style(dim())
}

fn dim() -> Style {
    Style::new().add_modifier(Modifier::DIM)
}

fn state(state: &str) -> Cell<'static> {
    let color = match state {
        "up" => Color::Green,
        "down" | "silent" => Color::Red,
        _ => Color::Yellow,
    };
    Cell::new(state.to_owned()).style(Style::new().fg(color))
}

fn count(rate: Rate) -> String {
    rate.map_or_else(|| "-".to_owned(), |rate| format!("{rate:.0}"))
}

fn bytes(rate: Rate) -> String {
    rate.map_or_else(|| "-".to_owned(), size)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use ratatui::{Terminal, backend::TestBackend};

    use super::{
        super::model::{Key, tests::reading},
        *,
    };

    /// The lines of a screen of this size.
    fn screen(model: &Model, width: u16, height: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, model)).unwrap();
        let buffer = terminal.backend().buffer();
        let line = |y| {
            (0..width)
                .map(|x| buffer[(x, y)].symbol())
                .collect::<String>()
        };
        (0..height).map(line).collect()
    }

    #[test]
    fn nodes_paths_links_and_rates_are_on_the_screen() {
        let mut model = Model::new(reading(100), Duration::from_secs(1));
        model.take(Ok(reading(400)), Duration::from_secs(2));
        let lines = screen(&model, 110, 24);
        let line = |word: &str| {
            let found = lines.iter().find(|line| line.starts_with(word));
            found
                .unwrap_or_else(|| panic!("{word} in {lines:#?}"))
                .clone()
        };
        assert!(lines[0].starts_with("magenta: 2 nodes"), "{}", lines[0]);
        let words: Vec<_> = line("wintermute")
            .split_whitespace()
            .map(str::to_owned)
            .collect();
        assert_eq!(
            words[..6],
            ["wintermute", "up", "57us", "150", "0", "150.0K"]
        );
        assert!(line("eth7").contains("128.0K"), "the window of the path");
        assert!(
            lines
                .iter()
                .any(|line| line.contains("paths to neuromancer: up;"))
        );
        assert!(lines.last().unwrap().starts_with("q quit"));
        model.press(Key::Down);
        let lines = screen(&model, 110, 24);
        assert!(
            lines
                .iter()
                .any(|line| line.contains("paths to wintermute: up;"))
        );
    }

    #[test]
    fn the_headings_are_whole_on_a_screen_of_80_columns() {
        let model = Model::new(reading(1), Duration::from_secs(1));
        let lines = screen(&model, 80, 24);
        let heads = [
            "NODE STATE RTT OUT IN B OUT B IN FRAMES LOST PROBES",
            "LINK STATE RTT WINDOW FLYING MTU B OUT/s B IN/s LOST FAILED",
            "LINK CARRIER OUT/s IN/s B OUT/s B IN/s REFUSED DROPPED",
        ];
        for head in heads {
            let words = |line: &String| line.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(lines.iter().any(|line| words(line) == head), "{lines:#?}");
        }
    }

    #[test]
    fn why_the_selected_node_is_down_is_told() {
        let mut down = reading(1);
        down.nodes[0].state = "down".to_owned();
        down.nodes[0].down_reason = Some("silent".to_owned());
        down.nodes[0].down_ns = Some(12_000_000_000);
        let mut model = Model::new(down, Duration::from_secs(1));
        model.press(Key::Last);
        let lines = screen(&model, 80, 24);
        let is_told = |line: &String| line.contains("paths to wintermute: down 12s (silent);");
        assert!(lines.iter().any(is_told), "{lines:#?}");
    }

    #[test]
    fn a_fault_is_shown_and_the_last_reading_stays() {
        let mut model = Model::new(reading(1), Duration::from_secs(1));
        model.take(
            Err("/net: qnet has gone".to_owned()),
            Duration::from_secs(1),
        );
        let lines = screen(&model, 90, 20);
        assert!(lines.iter().any(|line| line.contains("qnet has gone")));
        assert!(lines.iter().any(|line| line.starts_with("wintermute")));
    }

    #[test]
    fn any_size_is_drawn() {
        let model = Model::new(reading(1), Duration::from_secs(1));
        let empty = Model::new(stats::Stats::default(), Duration::from_secs(1));
        for (width, height) in [(1, 1), (2, 40), (20, 3), (300, 90)] {
            for model in [&model, &empty] {
                assert_eq!(screen(model, width, height).len(), usize::from(height));
            }
        }
    }
}

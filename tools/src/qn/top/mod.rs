//! `qn top`: peers, their paths and this node's links, with rates, live in the terminal.
//!
//! - `model`: what two readings of the statistics say, and what keys do. Knows no terminal.
//! - `draw`: the model on a screen of any size.
//! - `reader`: a thread that waits for the statistics, so that nobody else does.
//!
//! The terminal is as it was when this ends, however it ends: by a key, a signal, an error or a panic.

mod draw;
mod model;
mod reader;

use std::{
    io::{self, IsTerminal},
    process::ExitCode,
    time::{Duration, Instant},
};

use qnet::daemon::StopSignal;
use ratatui::{
    DefaultTerminal,
    crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers},
};

use super::output::Fault;
use model::{Key, Model};
use reader::Reader;

/// How long a key or a signal may wait to be seen.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a reading may take before the view says that it waits: longer than a node that is cut off is waited for.
const PATIENCE: Duration = Duration::from_secs(3);
const UNANSWERED: &str =
    "qnet does not answer; if it is stopped (ps -C qnet -o pid,stat): kill -CONT PID";

/// Shows the statistics until told to end.
pub(super) fn top(every: Duration, node: Option<&str>) -> Result<ExitCode, Fault> {
    if !(io::stdout().is_terminal() && io::stdin().is_terminal()) {
        return Err(Fault::new(
            "top needs a terminal; the same figures once, as text: qn net --long",
        ));
    }
    // Before the first thread: all threads must leave the signals to this one.
    let stop = StopSignal::install().map_err(|error| Fault::on_host(&error, "signals"))?;
    let fault = |error: io::Error| Fault::on_host(&error, "the terminal");
    let mut reader = Reader::start(node).map_err(|error| Fault::on_host(&error, "a thread"))?;
    reader.ask();
    // What cannot be read at all is said before the screen is taken.
    let first = loop {
        if stop.try_take().map_err(fault)?.is_some() {
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(read) = reader.answer(LOOK_EVERY) {
            break read?;
        }
    };
    let mut model = Model::new(first, every);
    // A panic restores the terminal first: `try_init` sees to that.
    let mut terminal = ratatui::try_init().map_err(fault)?;
    let shown = show(&mut terminal, &mut model, &stop, &mut reader);
    let restored = ratatui::try_restore();
    shown.map_err(fault)?;
    restored.map_err(fault)?;
    Ok(ExitCode::SUCCESS)
}

fn show(
    terminal: &mut DefaultTerminal,
    model: &mut Model,
    stop: &StopSignal,
    reader: &mut Reader,
) -> io::Result<()> {
    let mut read_at = Instant::now();
    loop {
        terminal.draw(|frame| draw::draw(frame, model))?;
        loop {
            if stop.try_take()?.is_some() {
                return Ok(());
            }
            if event::poll(LOOK_EVERY)? {
                match key(&event::read()?) {
                    Some(Key::Quit) => return Ok(()),
                    Some(key) => model.press(key),
                    // Another size, for one: the screen is drawn anew.
                    None => {}
                }
                break;
            }
            if let Some(read) = reader.answer(Duration::ZERO) {
                let elapsed = read_at.elapsed();
                read_at = Instant::now();
                model.take(read.map_err(|fault| fault.to_string()), elapsed);
                break;
            }
            if reader.waits_for().is_some_and(|time| time > PATIENCE) {
                model.fail(UNANSWERED.to_owned());
                break;
            }
            if read_at.elapsed() >= model.every() && !model.is_paused() {
                reader.ask();
            }
        }
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else {
        return None;
    };
    if key.kind == KeyEventKind::Release {
        return None;
    }
    let with_control = key.modifiers.contains(KeyModifiers::CONTROL);
    match key.code {
        KeyCode::Char('c' | 'd') if with_control => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::PageUp => Some(Key::PageUp),
        KeyCode::PageDown => Some(Key::PageDown),
        KeyCode::Home => Some(Key::First),
        KeyCode::End => Some(Key::Last),
        KeyCode::Char(' ' | 'p') => Some(Key::Pause),
        KeyCode::Char('+') => Some(Key::Faster),
        KeyCode::Char('-') => Some(Key::Slower),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use ratatui::crossterm::event::KeyEvent;

    use super::*;

    #[test]
    fn keys_mean_what_the_bottom_line_says() {
        let press = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        let plain = |letter| press(KeyCode::Char(letter), KeyModifiers::NONE);
        assert_eq!(
            press(KeyCode::Char('c'), KeyModifiers::CONTROL),
            Some(Key::Quit)
        );
        assert_eq!(
            [plain('q'), plain('j'), plain('+')],
            [Some(Key::Quit), Some(Key::Down), Some(Key::Faster)]
        );
        assert_eq!(plain('c'), None);
        assert_eq!(key(&Event::Resize(80, 25)), None);
    }
}

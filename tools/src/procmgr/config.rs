//! The configuration file: who may register what (PTH-5).

use std::{fs, path::Path};

use ipc_core::proc::{
    Pathname,
    rules::{Grantee, Rule},
};
use nix::unistd::{Group, User};
use serde::Deserialize;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    allow: Vec<Allow>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Allow {
    prefix: String,
    user: Option<Id>,
    group: Option<Id>,
    #[serde(default)]
    everyone: bool,
}

#[derive(Deserialize, Debug)]
#[serde(untagged)]
enum Id {
    Number(u32),
    Name(String),
}

/// Reads the rules of a configuration file.
///
/// # Errors
/// What is wrong with it, as a person needs it.
pub(super) fn load(path: &Path) -> Result<Vec<Rule>, String> {
    let text = fs::read_to_string(path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    parse(&text).map_err(|fault| {
        format!(
            "{}: {fault}\nThe form is shown by: procmgr --help",
            path.display()
        )
    })
}

fn parse(text: &str) -> Result<Vec<Rule>, String> {
    let file: File =
        toml::from_str(text).map_err(|error| error.to_string().trim_end().to_owned())?;
    file.allow.into_iter().map(rule).collect()
}

fn rule(allow: Allow) -> Result<Rule, String> {
    let shown = &allow.prefix;
    let prefix = Pathname::of(shown)
        .map_err(|errno| format!("prefix {shown:?} is no absolute path ({errno})"))?;
    let grantee = match (allow.user, allow.group, allow.everyone) {
        (Some(user), None, false) => Grantee::User(user_id(user)?),
        (None, Some(group), false) => Grantee::Group(group_id(group)?),
        (None, None, true) => Grantee::All,
        _ => {
            return Err(format!(
                "the rule for {shown:?} needs one of user, group, everyone = true"
            ));
        }
    };
    Ok(Rule { prefix, grantee })
}

fn user_id(id: Id) -> Result<u32, String> {
    match id {
        Id::Number(number) => Ok(number),
        Id::Name(name) => match User::from_name(&name) {
            Ok(Some(user)) => Ok(user.uid.as_raw()),
            _ => Err(format!("there is no user {name:?}; see: getent passwd")),
        },
    }
}

fn group_id(id: Id) -> Result<u32, String> {
    match id {
        Id::Number(number) => Ok(number),
        Id::Name(name) => match Group::from_name(&name) {
            Ok(Some(group)) => Ok(group.gid.as_raw()),
            _ => Err(format!("there is no group {name:?}; see: getent group")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read() {
        let text = "[[allow]]\nprefix = '/home'\nuser = 1000\n\n\
                    [[allow]]\nprefix = '/x//y'\ngroup = 'root'\n\
                    [[allow]]\nprefix = '/pub'\neveryone = true\n";
        let rules = parse(text).unwrap();
        let shown: Vec<_> = rules
            .iter()
            .map(|rule| (rule.prefix.to_string(), rule.grantee))
            .collect();
        let expected = [
            ("/home".to_owned(), Grantee::User(1000)),
            ("/x/y".to_owned(), Grantee::Group(0)),
            ("/pub".to_owned(), Grantee::All),
        ];
        assert_eq!(shown, expected);
        assert_eq!(parse("").unwrap(), []);
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, said) in [
            ("[[allow]]\nprefix = 'home'\nuser = 1", "no absolute path"),
            ("[[allow]]\nprefix = '/home'", "needs one of"),
            (
                "[[allow]]\nprefix = '/home'\nuser = 1\ngroup = 2",
                "needs one of",
            ),
            (
                "[[allow]]\nprefix = '/home'\nuser = 'no such user'",
                "there is no user",
            ),
            ("[[allow]]\nprefix = '/home'\nusr = 1", "unknown field"),
            ("[[alow]]", "unknown field"),
        ] {
            let fault = parse(text).unwrap_err();
            assert!(fault.contains(said), "{text:?}: {fault}");
        }
    }
}

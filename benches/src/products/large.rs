//! L7, L8: large messages, in place and between private buffers.

use crate::method::{Arm, silent, timed};
use crate::payload;
use crate::products::{attach, receive_message, serve};
use crate::setting::Setting;

/// L8: the client sends from a private buffer, the server reads all into its own, sums it and replies.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn copied(setting: &Setting) -> crate::Result<Arm> {
    let len = setting.bytes;
    setting
        .arm("send and read")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            let mut private = vec![0; len];
            Ok(silent(move |_| {
                let message = receive_message(&channel)?;
                message.read(0, &mut private)?;
                Ok(message.reply(0, &payload::sum(&private).to_ne_bytes())?)
            }))
        })?
        .seat(setting.client(), |stage| {
            let connection = attach(setting, stage.heard[0])?;
            let mut private = vec![0; len];
            Ok(timed(move |number| {
                let expected = payload::stamp(&mut private, number);
                let mut sum = [0; 8];
                connection.send(&private, &mut sum)?;
                if u64::from_ne_bytes(sum) == expected {
                    Ok(())
                } else {
                    Err(payload::wrong(number))
                }
            }))
        })
}

/// L7: the message is a loan of the setting's size, which nobody copies; the server looks at its first and
/// last word where they are.
///
/// # Errors
/// What creating the channel or attaching answers.
pub fn in_place(setting: &Setting) -> crate::Result<Arm> {
    let len = setting.bytes;
    setting
        .arm("1 MiB in place")
        .seat(setting.server(), |stage| {
            let channel = serve(setting, stage)?;
            Ok(silent(move |number| {
                let message = receive_message(&channel)?;
                let (mut first, mut last) = ([0; 8], [0; 8]);
                message.read(0, &mut first)?;
                message.read(len - 8, &mut last)?;
                if first != number.to_ne_bytes() || last != first {
                    return Err(payload::wrong(number));
                }
                Ok(message.reply(0, &payload::small(number))?)
            }))
        })?
        .seat(setting.client(), |stage| {
            let connection = attach(setting, stage.heard[0])?;
            Ok(timed(move |number| {
                let mut loan = connection.loan(len, payload::SMALL_LEN)?;
                loan.write(0, &number.to_ne_bytes());
                loan.write(len - 8, &number.to_ne_bytes());
                let mut reply = [0; payload::SMALL_LEN];
                connection.send_loan(loan)?.read(0, &mut reply);
                payload::check_small(&reply, number)
            }))
        })
}

//! A server in memory: a room, frames in, frames out.

use std::sync::Arc;

use client_wasm::host::Frame;
use fl_core::adapter::Adapter;
use fl_core::codec::{
    CLIENT_TEXT_LIMIT, FRAME_LIMIT, decode_binary, decode_text, encode_binary, encode_text,
};
use fl_core::protocol::{
    ClientHeader, ClientMessage, FileInfo, ModelInfo, ServerHeader, ServerMessage,
};
use fl_core::room::{ConnectionId, Effect, Hello, Millis, Room};
use fl_core::settings::RoomSettings;
use learner::testing::Files;
use sha2::{Digest as _, Sha256};

/// A room with its connections.
pub struct Server {
    /// The room.
    pub room: Room,
    connected: Vec<ConnectionId>,
    out: Vec<(ConnectionId, Frame)>,
}

/// How a server lists these files.
pub fn model_info(files: &Files) -> ModelInfo {
    let file = |(name, bytes): (&str, &Vec<u8>)| FileInfo {
        name: name.into(),
        bytes: bytes.len() as u64,
        sha256: Sha256::digest(bytes)
            .iter()
            .map(|byte| format!("{byte:02x}"))
            .collect(),
    };
    let listed = [
        ("config.json", &files.config),
        ("tokenizer.json", &files.tokenizer),
        ("model.safetensors", &files.weights),
    ];
    ModelInfo {
        name: "tiny".into(),
        parameters: 0,
        files: listed.into_iter().map(file).collect(),
    }
}

impl Server {
    /// A room with the code `TOY`.
    pub fn new(settings: RoomSettings, model: ModelInfo, initial: Adapter) -> Self {
        Self {
            room: Room::new("TOY".into(), settings, model, Arc::new(initial)),
            connected: Vec::new(),
            out: Vec::new(),
        }
    }

    /// What the server sends on receiving a frame.
    pub fn take(
        &mut self,
        from: ConnectionId,
        frame: &Frame,
        now: Millis,
    ) -> Vec<(ConnectionId, Frame)> {
        match frame {
            Frame::Text(text) => match decode_text(text, CLIENT_TEXT_LIMIT).unwrap() {
                ClientMessage::Hello {
                    protocol,
                    room,
                    name,
                    resume,
                } => {
                    assert_eq!(room, "TOY");
                    let hello = Hello {
                        protocol,
                        name,
                        resume,
                    };
                    self.connected.push(from);
                    self.room
                        .hello(from, hello, format!("token {}", from.0), now);
                }
                message => self.room.message(from, message, now),
            },
            Frame::Binary(bytes) => {
                let (ClientHeader::Report(report), adapter) =
                    decode_binary(bytes, FRAME_LIMIT).unwrap();
                self.room.report(from, &report, &adapter, bytes.len(), now);
            }
        }
        self.settle(now)
    }

    /// What the server sends as time passes.
    pub fn settle(&mut self, now: Millis) -> Vec<(ConnectionId, Frame)> {
        self.room.tick(now);
        loop {
            let effects = self.room.take_effects();
            if effects.is_empty() {
                break;
            }
            for effect in effects {
                self.carry_out(effect, now);
            }
        }
        if self.room.take_changed() {
            self.broadcast(&text(&ServerMessage::Room(self.room.view(now))));
        }
        std::mem::take(&mut self.out)
    }

    fn carry_out(&mut self, effect: Effect, now: Millis) {
        match effect {
            Effect::Send(to, message) => self.out.push((to, text(&message))),
            Effect::SendGlobal(to) => self.out.push((to, self.global())),
            Effect::Broadcast(message) => self.broadcast(&text(&message)),
            Effect::BroadcastGlobal => self.broadcast(&self.global()),
            Effect::Close(to, fault) => {
                self.out.push((to, text(&ServerMessage::Refused(fault))));
                self.connected.retain(|connection| *connection != to);
            }
            Effect::Store(..) => self.room.stored(now),
            _ => {}
        }
    }

    fn broadcast(&mut self, frame: &Frame) {
        self.out
            .extend(self.connected.iter().map(|to| (*to, frame.clone())));
    }

    fn global(&self) -> Frame {
        let (round, adapter, hash) = self.room.global();
        Frame::Binary(encode_binary(
            &ServerHeader::Global { round, hash },
            adapter,
        ))
    }
}

fn text(message: &ServerMessage) -> Frame {
    Frame::Text(encode_text(message))
}

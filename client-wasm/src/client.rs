//! The client's loop: takes commands and frames in their order, loads, works step by step.

use std::pin::{Pin, pin};

use fl_core::error::Fault;
use fl_core::session::SessionConfig;
use futures_channel::mpsc::{UnboundedReceiver, UnboundedSender};
use futures_util::future::{Either, pending, select};
use futures_util::{FutureExt as _, StreamExt as _};
use learner::LocalClient;
use rand_chacha::ChaCha8Rng;

use crate::address::Origin;
use crate::driver::{Driver, Order};
use crate::faults;
use crate::host::{Frame, Host, Input, SocketEvent};
use crate::library::Library;
use crate::messages::{Command, Event, Join};

/// Waits for the first join, then runs until the client has left, is removed or refused, or nobody
/// can command it any more. `sender` is the inbox's own sending side, for connections.
pub async fn run<H: Host>(
    host: &H,
    library: &Library,
    rng: ChaCha8Rng,
    sender: UnboundedSender<Input>,
    mut inbox: UnboundedReceiver<Input>,
) {
    let join = loop {
        match inbox.next().await {
            Some(Input::Command(Command::Join(join))) => break join,
            Some(Input::Command(Command::Leave)) | None => {
                return host.emit(Event::Stopped { fault: None });
            }
            Some(Input::Command(_)) => {
                host.emit(Event::Fault(faults::out_of_order("join first")));
            }
            Some(Input::Socket(..)) => {}
        }
    };
    let origin = match Origin::parse(&join.origin) {
        Ok(origin) => origin,
        Err(fault) => return host.emit(Event::Stopped { fault: Some(fault) }),
    };
    host.allow_workers(join.workers);
    let config = SessionConfig {
        room: join.room.clone(),
        name: join.name.clone(),
        resume: join.resume.clone(),
    };
    let driver = Driver::new(config, rng, host.now());
    let shell = Shell {
        host,
        library,
        origin: &origin,
        join: &join,
        sender,
        connection: 0,
        link: None,
        loading: None,
    };
    shell.run(driver, inbox).await;
}

type Loading<'a> = Pin<Box<dyn Future<Output = Result<LocalClient, Fault>> + 'a>>;

struct Shell<'a, H> {
    host: &'a H,
    library: &'a Library,
    origin: &'a Origin,
    join: &'a Join,
    sender: UnboundedSender<Input>,
    /// Number of the newest connection; what older ones still say is of no interest.
    connection: u64,
    link: Option<UnboundedSender<Frame>>,
    loading: Option<Loading<'a>>,
}

impl<H: Host> Shell<'_, H> {
    async fn run(mut self, mut driver: Driver, mut inbox: UnboundedReceiver<Input>) {
        loop {
            for order in driver.take_orders() {
                self.carry_out(order);
            }
            if driver.is_stopped() {
                return;
            }
            // What has come goes before the next step of work.
            if let Some(input) = inbox.next().now_or_never() {
                match input {
                    Some(input) => self.take(&mut driver, input),
                    None => driver.command(Command::Leave),
                }
            } else if driver.has_work() {
                driver.tick(self.host.now());
                driver = self.host.step(driver).await;
            } else {
                self.wait(&mut driver, &mut inbox).await;
            }
        }
    }

    /// Waits for whatever comes first: an input, the end of loading, or the time of a tick.
    async fn wait(&mut self, driver: &mut Driver, inbox: &mut UnboundedReceiver<Input>) {
        let host = self.host;
        let tick = driver.next_tick();
        let time = pin!(async {
            match tick {
                Some(tick) => host.sleep(tick.saturating_sub(host.now())).await,
                None => pending().await,
            }
        });
        let input = inbox.next();
        let first = match &mut self.loading {
            None => match select(input, time).await {
                Either::Left((input, _)) => First::Input(input),
                Either::Right(_) => First::Tick,
            },
            Some(loading) => match select(select(input, time), loading).await {
                Either::Left((Either::Left((input, _)), _)) => First::Input(input),
                Either::Left((Either::Right(_), _)) => First::Tick,
                Either::Right((loaded, _)) => First::Loaded(Box::new(loaded)),
            },
        };
        match first {
            First::Input(Some(input)) => self.take(driver, input),
            First::Input(None) => driver.command(Command::Leave),
            First::Tick => driver.tick(host.now()),
            First::Loaded(loaded) => {
                self.loading = None;
                match *loaded {
                    Ok(client) => {
                        host.client_loaded(&client);
                        driver.loaded(client);
                    }
                    Err(fault) => driver.load_failed(fault),
                }
            }
        }
    }

    fn take(&mut self, driver: &mut Driver, input: Input) {
        let now = self.host.now();
        match input {
            Input::Command(Command::Workers { count }) => self.host.allow_workers(count),
            Input::Command(command) => driver.command(command),
            Input::Socket(number, _) if number != self.connection || self.link.is_none() => {}
            Input::Socket(_, SocketEvent::Opened) => driver.opened(),
            Input::Socket(_, SocketEvent::Text(text)) => driver.text(&text, now),
            Input::Socket(_, SocketEvent::Binary(frame)) => driver.binary(&frame, now),
            Input::Socket(_, SocketEvent::Closed) => {
                self.link = None;
                driver.closed(now);
            }
        }
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Connect => {
                self.connection += 1;
                let (url, sender) = (self.origin.socket(), self.sender.clone());
                self.link = Some(self.host.connect(&url, self.connection, sender));
            }
            Order::SendText(text) => self.send(Frame::Text(text)),
            Order::SendBinary(frame) => self.send(Frame::Binary(frame)),
            Order::Disconnect => self.link = None,
            Order::Load(welcome) => {
                let (host, library) = (self.host, self.library);
                let (origin, own) = (self.origin, self.join.texts.as_ref());
                self.loading = Some(Box::pin(async move {
                    library.client(host, origin, &welcome, own).await
                }));
            }
            Order::Emit(event) => self.host.emit(event),
        }
    }

    fn send(&self, frame: Frame) {
        if let Some(link) = &self.link {
            // A connection that has just gone says so in the inbox.
            let _ = link.unbounded_send(frame);
        }
    }
}

enum First {
    Input(Option<Input>),
    Tick,
    Loaded(Box<Result<LocalClient, Fault>>),
}

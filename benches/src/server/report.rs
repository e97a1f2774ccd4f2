//! Figures for people and for programs.

use serde_json::{Value, json};

use super::aggregate::Speeds;
use super::flower::Served;
use super::load::Figures;
use super::rooms;

/// Prints each figure as soon as it is known: one JSON object a line, or lines.
#[derive(Clone, Copy, Debug)]
pub struct Report {
    pub as_json: bool,
}

impl Report {
    /// Prints how fast updates are added.
    pub fn aggregate(&self, speeds: &Speeds) {
        if self.as_json {
            let object = json!({
                "what": "aggregate_share_of_memcpy",
                "value": rounded(speeds.share()),
                "copy_gb_per_s": rounded(speeds.copy / 1e9),
                "aggregate_gb_per_s": rounded(speeds.aggregate / 1e9),
                "add_gb_per_s": rounded(speeds.add / 1e9),
            });
            return print(&object);
        }
        println!(
            "one update of 256 KiB: copied at {:.1} GB/s; decoded, checked and added at {:.1} GB/s, \
             {:.2} of it; checked and added at {:.1} GB/s",
            speeds.copy / 1e9,
            speeds.aggregate / 1e9,
            speeds.share(),
            speeds.add / 1e9,
        );
    }

    /// Prints what a load came to.
    pub fn load(&self, figures: &Figures) {
        let joined = &figures.joined;
        let (clients, parameters) = (joined.clients, joined.parameters);
        let latency = joined.latency_ms;
        if self.as_json {
            let object = |what: &str, value: f64| {
                print(&json!({
                    "what": what, "engine": "lpfl", "processes": figures.processes,
                    "clients": clients, "parameters": parameters, "value": rounded(value),
                }));
            };
            object("sockets_held", f64::from(joined.finished));
            object("updates_per_s", joined.updates_per_s);
            object("rounds_per_minute", figures.rounds_per_minute());
            object("ack_p99_ms", latency.acknowledge.p99);
            object("global_p99_ms", latency.global.p99);
            object("welcome_p99_ms", latency.welcome.p99);
            object("peak_memory_bytes", figures.peak as f64);
            object("idle_client_bytes", figures.idle_before as f64);
            object("idle_client_bytes_after_rounds", figures.idle_after as f64);
            object("server_cpu_us_per_update", figures.server_micros);
            object("stub_cpu_us_per_update", figures.stubs_micros);
            return;
        }
        let kibibytes = |bytes: u64| bytes as f64 / 1024.0;
        println!(
            "\n{clients} sockets, {parameters} parameters, processes: {}: none dropped in {} rounds",
            figures.processes, joined.rounds
        );
        println!(
            "  {:.1} rounds a minute, {:.0} updates a second",
            figures.rounds_per_minute(),
            joined.updates_per_s
        );
        for (name, times) in [
            ("hello → welcome", latency.welcome),
            ("report → acknowledgement", latency.acknowledge),
            ("report → new global adapter", latency.global),
        ] {
            let (p50, p99, max) = (times.p50, times.p99, times.max);
            println!("  {name:<28} p50 {p50:>9.1} ms, p99 {p99:>9.1} ms, max {max:>9.1} ms");
        }
        println!(
            "  server memory: {:.1} KiB for each idle client before the rounds, {:.1} KiB after \
             them; {:.0} MiB at most",
            kibibytes(figures.idle_before),
            kibibytes(figures.idle_after),
            kibibytes(figures.peak) / 1024.0
        );
        println!(
            "  processor time for one update: {:.0} µs of the server, {:.0} µs of its clients",
            figures.server_micros, figures.stubs_micros
        );
    }

    /// Prints what it costs that several processes share the load.
    pub fn several(&self, one: &Figures, several: &Figures) {
        let processes = several.processes;
        let speed = several.joined.updates_per_s / one.joined.updates_per_s;
        let work = several.server_micros / one.server_micros;
        if self.as_json {
            let object = |what: &str, value: f64| {
                print(&json!({ "what": what, "processes": processes, "value": rounded(value) }));
            };
            object("several_updates_per_s_ratio", speed);
            return object("several_server_cpu_ratio", work);
        }
        println!(
            "\n{processes} processes on NATS against one: {speed:.2} × the updates a second, \
             {work:.2} × the processor time of server and NATS for one update"
        );
    }

    /// Says what was not measured, aside from the figures.
    pub fn left_out(&self, what: &str) {
        eprintln!("left out: {what}");
    }

    /// Prints what several rooms came to.
    pub fn rooms(&self, figures: &rooms::Figures) {
        let rooms::Figures {
            load,
            updates_per_s,
            acknowledge_p99_ms: (middle, worst),
            seconds: (fastest, slowest),
        } = *figures;
        let (rooms, clients) = (load.rooms, load.clients);
        if self.as_json {
            let object = |what: &str, value: f64| {
                print(&json!({
                    "what": what, "engine": "lpfl", "rooms": rooms, "clients": clients,
                    "value": rounded(value),
                }));
            };
            object("rooms_updates_per_s", updates_per_s);
            object("rooms_ack_p99_ms", middle);
            object("rooms_worst_ack_p99_ms", worst);
            object("rooms_fastest_s", fastest);
            object("rooms_slowest_s", slowest);
            return;
        }
        println!(
            "\nrooms at once: {rooms}, of {clients} clients each: {updates_per_s:.0} updates a second in all; \
             report → acknowledgement p99 {middle:.1} ms in the middle room, {worst:.1} in the worst; \
             {} rounds in {fastest:.1} to {slowest:.1} s",
            load.rounds
        );
    }

    /// Prints Flower's speed, and ours against it.
    pub fn peer(&self, ours: &Figures, theirs: &Served) {
        let ratio = ours.joined.updates_per_s / theirs.updates_per_s;
        if self.as_json {
            print(&json!({
                "what": "updates_per_s", "engine": "flower", "clients": theirs.clients,
                "parameters": theirs.parameters, "value": rounded(theirs.updates_per_s),
                "rounds": theirs.rounds, "version": theirs.version,
            }));
            return print(&json!({
                "what": "updates_per_s_ratio", "clients": theirs.clients,
                "parameters": theirs.parameters, "value": rounded(ratio),
            }));
        }
        println!(
            "\n{} clients, {} parameters: Flower {} {:.0} updates a second, lpfl {:.0}: {ratio:.1} ×",
            theirs.clients,
            theirs.parameters,
            theirs.version,
            theirs.updates_per_s,
            ours.joined.updates_per_s
        );
    }
}

fn print(object: &Value) {
    println!("{object}");
}

/// To thousandths: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e3).round() / 1e3
}

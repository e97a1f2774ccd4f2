// Takes orders from the measuring program, one at a time, and hands them to the engines' workers.

/** A dedicated worker that answers one message at a time. */
class Remote {
  #worker;
  #waiting = null;

  constructor(script) {
    this.#worker = new Worker(script, { type: 'module' });
    this.#worker.onmessage = ({ data }) => {
      const { resolve, reject } = this.#waiting;
      if (data.error === undefined) {
        resolve(data.result);
      } else {
        reject(new Error(data.error));
      }
    };
    this.#worker.onerror = (event) => {
      this.#waiting?.reject(new Error(`${script}: ${event.message ?? 'cannot be loaded'}`));
    };
  }

  call(message, transfer = []) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(message, transfer);
    });
  }

  end() {
    this.#worker.terminate();
  }
}

/** Engines by the key that the measuring program gave them: each the workers it is made of. */
const engines = new Map();

/** Opens an engine. One of ours with two workers is two of them with a channel between. */
async function open({ key, engine, work, workers }) {
  const script = `/engines/${engine}.js`;
  const split = engine === 'lpfl' && workers === 2;
  const remotes = split ? [new Remote(script), new Remote(script)] : [new Remote(script)];
  engines.set(key, remotes);
  if (!split) {
    return remotes[0].call({ op: 'open', work, workers });
  }
  const { port1, port2 } = new MessageChannel();
  const [answer] = await Promise.all([
    remotes[0].call({ op: 'open', work, half: 0, port: port1 }, [port1]),
    remotes[1].call({ op: 'open', work, half: 1, port: port2 }, [port2]),
  ]);
  return answer;
}

function close({ key }) {
  for (const remote of engines.get(key) ?? []) {
    remote.end();
  }
  engines.delete(key);
}

async function obey(order) {
  switch (order.op) {
    case 'open':
      return open(order);
    case 'close':
      return close(order);
    default: {
      const { key, ...message } = order;
      // Every worker of an engine does the same steps; the first one's answer is the engine's.
      const answers = await Promise.all(engines.get(key).map((remote) => remote.call(message)));
      return answers[0];
    }
  }
}

for (;;) {
  const response = await fetch('/next', { method: 'POST' });
  if (response.status === 204) {
    continue;
  }
  const order = await response.json();
  let answer;
  try {
    answer = { number: order.number, result: (await obey(order)) ?? null };
  } catch (error) {
    answer = { number: order.number, error: String(error?.message ?? error) };
  }
  await fetch('/answer', { method: 'POST', body: JSON.stringify(answer) });
}

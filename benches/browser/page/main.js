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

  call(message) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#worker.postMessage(message);
    });
  }

  end() {
    this.#worker.terminate();
  }
}

/** Engines by the key that the measuring program gave them. */
const engines = new Map();

async function open({ key, engine, work, workers }) {
  const remote = new Remote(`/engines/${engine}.js`);
  engines.set(key, remote);
  return remote.call({ op: 'open', work, workers });
}

function close({ key }) {
  engines.get(key)?.end();
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
      return engines.get(key).call(message);
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

// TensorFlow.js: training as one writes it there, with its own gradients, on its WebAssembly
// backend or, where that cannot, on its plain one.

import '/node_modules/@tensorflow/tfjs/dist/tf.min.js';
import '/node_modules/@tensorflow/tfjs-backend-wasm/dist/tf-backend-wasm.min.js';
import { description, file, serve, tensors } from '../harness.js';

const { tf } = self;

/** The model's shape and its frozen tensors, with linear weights as (in, out). */
async function load(work) {
  const config = JSON.parse(new TextDecoder().decode(await file(work, 'config.json')));
  const found = await tensors(work, 'model.safetensors');
  const tensor = (name) => tf.tensor(found[name].values, found[name].shape);
  const linear = (path) => ({
    weight: tf.tidy(() => tensor(`${path}.weight`).transpose()),
    bias: tensor(`${path}.bias`),
  });
  const norm = (path) => ({
    weight: tensor(`${path}.LayerNorm.weight`),
    bias: tensor(`${path}.LayerNorm.bias`),
    eps: config.layer_norm_eps,
  });
  const layer = (path) => ({
    path,
    query: linear(`${path}.attention.self.query`),
    key: linear(`${path}.attention.self.key`),
    value: linear(`${path}.attention.self.value`),
    output: linear(`${path}.attention.output.dense`),
    outputNorm: norm(`${path}.attention.output`),
    up: linear(`${path}.intermediate.dense`),
    down: linear(`${path}.output.dense`),
    downNorm: norm(`${path}.output`),
  });
  return {
    heads: config.num_attention_heads,
    hidden: config.hidden_size,
    words: tensor('bert.embeddings.word_embeddings.weight'),
    positions: tensor('bert.embeddings.position_embeddings.weight'),
    segments: tensor('bert.embeddings.token_type_embeddings.weight'),
    norm: norm('bert.embeddings'),
    layers: Array.from({ length: config.num_hidden_layers }, (_, index) =>
      layer(`bert.encoder.layer.${index}`),
    ),
    transform: linear('cls.predictions.transform.dense'),
    headNorm: norm('cls.predictions.transform'),
    bias: tensor('cls.predictions.bias'),
  };
}

/** The adapter's first values, as (in, r) and (r, out). */
async function matrices(work) {
  const found = Object.entries(await tensors(work, 'adapter_model.safetensors'));
  const matrix = ({ shape, values }) => tf.tidy(() => tf.tensor(values, shape).transpose());
  return Object.fromEntries(found.map(([name, tensor]) => [name, matrix(tensor)]));
}

/** (…, in) -> (…, out) */
function linear(x, { weight, bias }) {
  return tf.add(tf.matMul(x, weight), bias);
}

function layerNorm(x, { weight, bias, eps }) {
  const centred = tf.sub(x, tf.mean(x, -1, true));
  const variance = tf.mean(tf.square(centred), -1, true);
  const normed = tf.mul(centred, tf.rsqrt(tf.add(variance, eps)));
  return tf.add(tf.mul(normed, weight), bias);
}

function gelu(x) {
  return tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1));
}

/** A batch's tensors. Rows are picked by a product, as gathering has no gradient on WebAssembly. */
function prepare({ prompts }) {
  const [count, length] = [prompts.length, prompts[0].ids.length];
  const rows = prompts.map(({ mask }, index) => index * length + mask);
  return {
    count,
    length,
    ids: tf.tensor1d(prompts.flatMap(({ ids }) => ids), 'int32'),
    masks: tf.cast(tf.oneHot(tf.tensor1d(rows, 'int32'), count * length), 'float32'),
    labels: tf.cast(tf.oneHot(tf.tensor1d(prompts.map(({ label }) => label), 'int32'), 2), 'float32'),
  };
}

/** The label words' scores at the mask, (B, L). */
function forward(model, adapter, scale, decoder, { count, length, ids, masks }) {
  const { heads, hidden } = model;
  const width = hidden / heads;
  const adapted = (x, part, path) => {
    const name = `base_model.model.${path}`;
    const low = tf.matMul(x, adapter[`${name}.lora_A.weight`]);
    const delta = tf.matMul(low, adapter[`${name}.lora_B.weight`]);
    return tf.add(linear(x, part), tf.mul(delta, scale));
  };
  const split = (x) => tf.transpose(tf.reshape(x, [count, length, heads, width]), [0, 2, 1, 3]);
  const embedded = tf.add(
    tf.reshape(tf.gather(model.words, ids), [count, length, hidden]),
    tf.add(tf.slice(model.positions, 0, length), tf.slice(model.segments, 0, 1)),
  );
  let x = layerNorm(tf.reshape(embedded, [count * length, hidden]), model.norm);
  for (const layer of model.layers) {
    const query = split(adapted(x, layer.query, `${layer.path}.attention.self.query`));
    const key = split(linear(x, layer.key));
    const value = split(adapted(x, layer.value, `${layer.path}.attention.self.value`));
    const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(width));
    const mixed = tf.transpose(tf.matMul(tf.softmax(scores), value), [0, 2, 1, 3]);
    const attended = linear(tf.reshape(mixed, [count * length, hidden]), layer.output);
    x = layerNorm(tf.add(attended, x), layer.outputNorm);
    const fed = linear(gelu(linear(x, layer.up)), layer.down);
    x = layerNorm(tf.add(fed, x), layer.downNorm);
  }
  const atMask = tf.matMul(masks, x);
  return linear(layerNorm(gelu(linear(atMask, model.transform)), model.headNorm), decoder);
}

/** Trains with the backend that is set. */
async function engine(work) {
  const described = await description(work);
  const { training, scale, words } = described;
  const model = await load(work);
  const first = await matrices(work);
  const adapter = Object.fromEntries(
    Object.entries(first).map(([name, tensor]) => [name, tf.variable(tensor)]),
  );
  const variables = Object.values(adapter);
  const ids = words.map(([id]) => id);
  const decoder = {
    weight: tf.tidy(() => tf.transpose(tf.gather(model.words, ids))),
    bias: tf.tidy(() => tf.gather(model.bias, ids)),
  };
  const batches = described.batches.map(prepare);
  const keep = 1 - training.learning_rate * training.weight_decay;
  let optimizer = null;
  return {
    batches: batches.length,
    detail: `${tf.getBackend()} backend`,
    reset() {
      optimizer?.dispose();
      const { learning_rate: rate, beta1, beta2, epsilon } = training;
      optimizer = tf.train.adam(rate, beta1, beta2, epsilon);
      for (const [name, variable] of Object.entries(adapter)) {
        variable.assign(first[name]);
      }
    },
    infer() {
      throw new Error('TensorFlow.js is trained only');
    },
    async train(number) {
      const { labels, ...batch } = batches[number];
      const loss = tf.tidy(() => {
        const { value, grads } = tf.variableGrads(() => {
          const scores = forward(model, adapter, scale, decoder, batch);
          return tf.losses.softmaxCrossEntropy(labels, scores);
        }, variables);
        // AdamW is Adam after a decay of the values.
        for (const variable of variables) {
          variable.assign(tf.mul(variable, keep));
        }
        optimizer.applyGradients(grads);
        return value;
      });
      const [answer] = await loss.data();
      loss.dispose();
      return answer;
    },
  };
}

serve(async ({ work, workers }) => {
  tf.wasm.setWasmPaths('/node_modules/@tensorflow/tfjs-backend-wasm/dist/');
  tf.wasm.setThreadsCount(workers);
  const reasons = [];
  for (const backend of ['wasm', 'cpu']) {
    try {
      await tf.setBackend(backend);
      await tf.ready();
      const ready = await engine(work);
      ready.reset();
      await ready.train(0);
      return ready;
    } catch (error) {
      reasons.push(`${backend}: ${error.message}`);
    }
  }
  throw new Error(`no backend trains: ${reasons.join('; ')}`);
});

// A helper of our learner, as the client's own are.

/** What answers: without a name it would be collected as garbage. */
const answering = [];

self.onmessage = async ({ data: { folder, module, port } }) => {
  const { default: init, Helper } = await import(`${folder}/browser_bench.js`);
  await init({ module_or_path: module });
  answering.push(new Helper(port));
};

"use strict";
// Node's side of the benchmarks: answers as worker.py does, for pino.
//
//     node pino.cjs DIRECTORY      where npm has put pino
//
// The events are those of cases.py, and the rounds those of stopwatch.py.

const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const { createRequire } = require("node:module");

const packages = path.resolve(process.argv[2]);
const requireThere = createRequire(path.join(packages, "/"));
const pino = requireThere("pino");

const MESSAGE = "user signed in";
const AGENT = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const BATCH = 16;
const CHECKED = 16;
// Enough of them for the compiler to have done what it will.
const WARM_UP = 50000;

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "pino-"));
process.on("exit", () => fs.rmSync(directory, { recursive: true, force: true }));
const file = path.join(directory, "log");
const log = pino(pino.destination({ dest: file, sync: true }));

const fieldsOf = {
  "event": () => ({}),
  "event-1": (number) => ({ uid: `user-${number}` }),
  "event-8": (number) => ({
    method: "GET",
    path: `/v1/items/${number}`,
    agent: AGENT,
    lang: "en-US,en;q=0.5",
    uid: `user-${number}`,
    code: 200,
    errno: number,
    t: number + 0.5,
  }),
};

const calls = {
  "event": () => log.info(MESSAGE),
  "event-1": ({ uid }) => log.info({ uid }, MESSAGE),
  "event-8": ({ method, path, agent, lang, uid, code, errno, t }) =>
    log.info({ method, path, agent, lang, uid, code, errno, t }, MESSAGE),
};

class WrongOutput extends Error {}

function time(kind, budget) {
  const call = calls[kind];
  const make = fieldsOf[kind];
  let spent = 0n;
  let number = 0;
  while (spent < budget) {
    const batch = [];
    for (let place = 0; place < BATCH; place++) batch.push(make(number + place));
    const start = process.hrtime.bigint();
    for (const fields of batch) call(fields);
    spent += process.hrtime.bigint() - start;
    number += BATCH;
  }
  return [Number(spent) / number, number];
}

function written(count) {
  const lines = fs.readFileSync(file, "utf8").split("\n");
  if (lines.pop() !== "" || lines.length !== count) {
    throw new WrongOutput(`${lines.length} lines for ${count} calls`);
  }
  return lines;
}

function check(line, kind, number) {
  let said;
  try {
    said = JSON.parse(line);
  } catch {
    throw new WrongOutput("not JSON");
  }
  if (said.msg !== MESSAGE) throw new WrongOutput("wrong message");
  for (const [name, value] of Object.entries(fieldsOf[kind](number))) {
    if (said[name] !== value) throw new WrongOutput(`wrong extra: ${name}`);
  }
}

function checkSome(kind) {
  for (let number = 0; number < WARM_UP; number++) calls[kind](fieldsOf[kind](number));
  fs.truncateSync(file, 0);
  for (let number = 0; number < CHECKED; number++) calls[kind](fieldsOf[kind](number));
  written(CHECKED).forEach((line, number) => check(line, kind, number));
}

function round(kind, budget) {
  fs.truncateSync(file, 0);
  const [ns, count] = time(kind, budget);
  check(written(count).at(-1), kind, count - 1);
  return ns;
}

function about(distributions) {
  const version = (name) => requireThere(`${name}/package.json`).version;
  return {
    runtime: `Node.js ${process.versions.node}`,
    packages: Object.fromEntries(distributions.map((name) => [name, version(name)])),
  };
}

function answer(question) {
  if (question.ask === "about") return about(question.distributions);
  try {
    if (question.ask === "check") {
      checkSome(question.case);
      return {};
    }
    return { ns: round(question.case, BigInt(question.budget_ns)) };
  } catch (error) {
    if (error instanceof WrongOutput) return { wrong: error.message };
    throw error;
  }
}

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  process.stdout.write(JSON.stringify(answer(JSON.parse(line))) + "\n");
});

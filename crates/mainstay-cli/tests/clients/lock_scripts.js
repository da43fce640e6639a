// The scripts that lock clients of Node send, as JSON: node lock_scripts.js
const Redlock4 = require(`${process.env.REDLOCK_4}/redlock`);
const Redlock5 = require(`${process.env.REDLOCK_5}/redlock`).default;

const of = ({ scripts }) => Object.values(scripts).map(({ value }) => value);
const client = { on() {} };
console.log(JSON.stringify([...of(new Redlock4([client])), ...of(new Redlock5([client]))]));

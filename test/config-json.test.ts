// JSON is read as well as YAML: the same config, the same problems with their positions.
import { expect, it } from 'vitest'
import { configOf, edited, problemsOf } from './config-text.ts'

const DOCUMENT = {
  listeners: [{ name: 'public', address: '127.0.0.1:8080' }],
  services: [
    {
      name: 'shop',
      versions: [
        { name: 'blue', endpoints: ['http://127.0.0.1:9001'] },
        { name: 'green', endpoints: ['http://127.0.0.1:9002'] },
      ],
    },
  ],
  routes: [{ name: 'shop', service: 'shop' }],
}

it.each([
  ['in one line', JSON.stringify(DOCUMENT)],
  ['indented with spaces', JSON.stringify(DOCUMENT, null, 2)],
  ['indented with tabs', JSON.stringify(DOCUMENT, null, '\t')],
  ['with a byte order mark', `\ufeff${JSON.stringify(DOCUMENT)}`],
  ['with CRLF line ends', JSON.stringify(DOCUMENT, null, 2).replaceAll('\n', '\r\n')],
  ['with the schema for the editor', JSON.stringify({ $schema: './turnout.schema.json', ...DOCUMENT })],
])('reads JSON %s', (_, text) => {
  expect(configOf(text)).toEqual(configOf(edited({})))
})

it('says where the mistakes of a JSON file are', () => {
  const text = JSON.stringify({ ...DOCUMENT, routes: [{ nme: 'a', service: 'shp' }] }, null, 2)
  expect(problemsOf(text)).toEqual([
    '29:7: CONFIG_UNKNOWN_KEY routes[0].nme: unknown key "nme". Did you mean "name"?',
    '30:18: CONFIG_REFERENCE routes[0].service: there is no service "shp". Did you mean "shop"?',
  ])
})

it('finds a key that JSON.parse would silently take twice', () => {
  expect(problemsOf(`{"log": {}, "log": {}, ${JSON.stringify(DOCUMENT).slice(1)}`)).toEqual([
    '1:13: CONFIG_DUPLICATE_KEY log: the key "log" is written twice, first in line 1. Keep one of them.',
  ])
})

it('counts columns after a byte order mark as editors do', () => {
  expect(problemsOf(`\ufeffbogus: 1\n${edited({})}`)).toEqual([
    '1:1: CONFIG_UNKNOWN_KEY bogus: unknown key "bogus". Known here: $schema, schemaVersion, listeners, admin, workers, state, redis, log, shutdown, services, routes.',
  ])
})

// biome-ignore-all lint/suspicious/noTemplateCurlyInString: the syntax of the config itself.
// A file that is no YAML, or refers to what is not there: each mistake is one problem
// with its exact position, path, message and fix.
import { expect, it } from 'vitest'
import { parseConfig } from '../src/config/load.ts'
import { edited, problemsOf } from './config-text.ts'

/** Lines of the valid config that are replaced, and what is said of it then. */
const CASES: [name: string, edits: Record<number, string>, problem: string][] = [
  [
    'a tab as indentation',
    { 3: '\taddress: 127.0.0.1:8080' },
    '3:1: CONFIG_YAML: a tab is used for indentation. Indent with spaces.',
  ],
  [
    'a quote that is not closed',
    { 13: '    service: "shop' },
    '13:14: CONFIG_YAML: the quote is not closed. Close it.',
  ],
  [
    'a block scalar whose first line is indented most',
    { 13: '    service: >\n        \n      shop' },
    '15:7: CONFIG_YAML: block scalars with more-indented leading empty lines must use an explicit indentation indicator. Correct the YAML here.',
  ],
  [
    'a second document',
    { 13: '    service: shop\n---\na: b' },
    '14:1: CONFIG_YAML: a second document begins here. Keep one document; remove the "---" and what follows it.',
  ],
  [
    'another version of YAML',
    { 1: '%YAML 1.1\n---\nlisteners:' },
    '1:1: CONFIG_YAML: %YAML 1.1 is not read. Remove the %YAML line; the file is read as YAML 1.2.',
  ],
  [
    'a tag that is not known',
    { 13: '    service: !port shop' },
    '13:14: CONFIG_YAML: a tag, a word that begins with "!", is not known. Remove it, or put the value in quotes.',
  ],
  [
    'a list as a key',
    { 13: '    service: shop\n    ? [a]\n    : b' },
    '14:7: CONFIG_YAML: a key is a list or a mapping. Use plain words as keys.',
  ],
  [
    'a key twice in a mapping',
    { 13: '    service: shop\n    service: shop' },
    '14:5: CONFIG_DUPLICATE_KEY routes[0].service: the key "service" is written twice, first in line 13. Keep one of them.',
  ],
  [
    'an alias without anchor',
    { 13: '    service: *shop' },
    '13:14: CONFIG_ALIAS routes[0].service: the alias *shop refers to no anchor before it. Define it first with &shop.',
  ],
  [
    'an alias inside its own value',
    { 12: '  - &route\n    name: shop', 13: '    service: shop\n    rewrite: *route' },
    '15:14: CONFIG_ALIAS routes[0].rewrite: the alias *route refers to a value that contains it. Write the value out.',
  ],
  [
    'nesting without end',
    { 13: `    service: ${'['.repeat(70)}${']'.repeat(70)}` },
    `13:76: CONFIG_LIMIT routes[0].service${'[0]'.repeat(62)}: nested deeper than 64 levels. Remove the nesting.`,
  ],
  [
    'a variable that is not set',
    { 3: '    address: "127.0.0.1:${MISSING}"' },
    '3:14: CONFIG_ENV listeners[0].address: the environment variable MISSING is not set. Set MISSING, or give a default: ${MISSING:-value}.',
  ],
  [
    'a reference that is not closed',
    { 3: '    address: "127.0.0.1:${PORT"' },
    '3:14: CONFIG_ENV listeners[0].address: a "${" is no complete reference to the environment. Name the variable with letters, digits and underscores, close it with "}", or write "$${" for a literal "${".',
  ],
  [
    'a misspelt key',
    { 3: '    adress: 127.0.0.1:8080' },
    '3:5: CONFIG_UNKNOWN_KEY listeners[0].adress: unknown key "adress". Did you mean "address"?',
  ],
  [
    'a key nothing is like',
    { 13: '    service: shop\n    colour: blue' },
    '14:5: CONFIG_UNKNOWN_KEY routes[0].colour: unknown key "colour". Known here: name, match, service, rewrite.',
  ],
  [
    'a merge key',
    { 13: '    service: shop\n    <<: { name: x }' },
    '14:5: CONFIG_UNKNOWN_KEY routes[0]["<<"]: unknown key "<<". Merge keys are not read; alias a whole value, or write the keys out.',
  ],
  [
    'the key __proto__',
    { 13: '    service: shop\n    __proto__: {}' },
    '14:5: CONFIG_UNKNOWN_KEY routes[0].__proto__: "__proto__" is no key of a config. Remove it.',
  ],
  [
    'TLS',
    { 3: '    address: 127.0.0.1:8080\n    tls: {}' },
    '4:5: CONFIG_NOT_SUPPORTED listeners[0].tls: TLS on listeners is not supported yet. Remove the key.',
  ],
  [
    'an https endpoint',
    { 8: '        endpoints: ["https://127.0.0.1:9001"]' },
    '8:21: CONFIG_NOT_SUPPORTED services[0].versions[0].endpoints[0]: https endpoints are not supported yet. Use http:// to the endpoint.',
  ],
  [
    'a route without service',
    { 13: '    rewrite: {}' },
    '12:5: CONFIG_MISSING routes[0].service: the key "service" is missing. Add "service:" here.',
  ],
  [
    'a version without name',
    { 7: '      - requestHeaders: {}' },
    '7:9: CONFIG_MISSING services[0].versions[0].name: the key "name" is missing. Add "name:" here.',
  ],
  [
    'a sticky cookie without secret',
    { 10: '        endpoints: ["http://127.0.0.1:9002"]\n    traffic: { sticky: { mode: cookie } }' },
    '11:24: CONFIG_MISSING services[0].traffic.sticky.secret: the key "secret" is missing. Add "secret:" here.',
  ],
]

it.each(CASES)('%s', (_, edits, problem) => {
  expect(problemsOf(edited(edits))).toEqual([problem])
  expect(parseConfig(edited(edits), { env: {} }).ok).toBe(false)
})

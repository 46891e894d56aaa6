// Tokens and hosts of the admin API: what is taken, and each mistake with its exact position, path, message and fix.
import { describe, expect, it } from 'vitest'
import { configOf, edited, problemsOf } from './config-text.ts'

const admin = (lines: string) => edited({ 1: `admin:\n${lines.replace(/^/gm, '  ')}\nlisteners:` })
const SECRET = '0123456789abcdef'

it('takes tokens of both roles, also beside an environment', () => {
  const text = admin(`tokens:
  - { name: ci, role: operator, secret: "\${CI}" }
  - { name: eyes, role: viewer, secret: ${SECRET} }`)
  const env = { CI: 'a-secret-of-24-characters' }
  expect(problemsOf(text, env)).toEqual([])
  expect(configOf(text, env).admin.tokens).toEqual([
    { name: 'ci', role: 'operator', secret: 'a-secret-of-24-characters' },
    { name: 'eyes', role: 'viewer', secret: SECRET },
  ])
})

it('compares hosts in lower case and without a final dot', () => {
  const text = admin('hosts: [Admin.Shop.test, "[::1]", 10.0.0.5, turnout.internal.]')
  expect(problemsOf(text)).toEqual([])
  expect(configOf(text).admin.hosts).toEqual(['admin.shop.test', '[::1]', '10.0.0.5', 'turnout.internal'])
})

it('may be reached from other machines with a token, and warns that it is plain HTTP', () => {
  const text = admin(`address: 0.0.0.0:9901\ntokens: [{ name: ci, role: viewer, secret: ${SECRET} }]`)
  expect(problemsOf(text)).toEqual([
    '2:12: warning CONFIG_ADMIN_EXPOSED admin.address: tokens cross the network unencrypted, because the admin API speaks plain HTTP. Use a network that only operators can read, or a loopback address.',
  ])
})

describe('refuses', () => {
  it.each([
    [
      'other machines without a token',
      'address: "[::]:9901"\ntokens: []',
      '2:12: CONFIG_ADMIN_EXPOSED admin.address: the admin address is reachable from other machines, and there are no admin.tokens. Add a token, or use a loopback address such as 127.0.0.1:9901.',
    ],
    [
      'two tokens of one name',
      `tokens:\n  - { name: ci, role: viewer, secret: ${SECRET} }\n  - { name: ci, role: operator, secret: x${SECRET} }`,
      '4:15: CONFIG_DUPLICATE_NAME admin.tokens[1].name: "ci" is already the name of the token in line 3. Give each its own name.',
    ],
    [
      'two tokens of one secret',
      `tokens:\n  - { name: ci, role: viewer, secret: ${SECRET} }\n  - { name: cd, role: operator, secret: ${SECRET} }`,
      '4:43: CONFIG_CONFLICT admin.tokens[1].secret: admin.tokens[0] has the same secret, so nobody could tell who used it. Give each token its own.',
    ],
    [
      'a short secret',
      'tokens: [{ name: ci, role: viewer, secret: 0123456789abcde }]',
      '2:46: CONFIG_WEAK_SECRET admin.tokens[0].secret: the secret has fewer than 16 characters. Use a long random one, such as 32 random bytes in hex.',
    ],
    [
      'the mask of a secret',
      'tokens: [{ name: ci, role: viewer, secret: "***" }]',
      '2:46: CONFIG_WEAK_SECRET admin.tokens[0].secret: the secret is the *** that stands for a hidden one. Write the secret, or a reference to the environment.',
    ],
    [
      'a secret that no header can carry',
      `tokens: [{ name: ci, role: viewer, secret: "${SECRET} ${SECRET}" }]`,
      '2:46: CONFIG_FORMAT admin.tokens[0].secret: the secret has characters that an Authorization header cannot carry. Use letters, digits and signs of ASCII, no blanks.',
    ],
    [
      'a role nobody knows',
      `tokens: [{ name: ci, role: admin, secret: ${SECRET} }]`,
      '2:30: CONFIG_ENUM admin.tokens[0].role: "admin" is not one of the values known here. Choose viewer or operator.',
    ],
    [
      'a token without role',
      `tokens: [{ name: ci, secret: ${SECRET} }]`,
      '2:12: CONFIG_MISSING admin.tokens[0].role: the key "role" is missing. Add "role:" here.',
    ],
    [
      'a host with a port',
      'hosts: ["a.test:9901"]',
      '2:11: CONFIG_HOST admin.hosts[0]: "a.test:9901" has a port, and the admin API compares the host alone. Remove the port.',
    ],
    [
      'a host with a wildcard',
      'hosts: ["*.a.test"]',
      '2:11: CONFIG_HOST admin.hosts[0]: "*.a.test" has a wildcard. Write each name out.',
    ],
    ['any host', 'hosts: ["*"]', '2:11: CONFIG_HOST admin.hosts[0]: "*" has a wildcard. Write each name out.'],
  ])('%s', (_, lines, problem) => {
    expect(problemsOf(admin(lines))).toEqual([problem])
  })
})

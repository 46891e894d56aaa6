// `turnout validate FILE`: what it prints and with which exit code, for people and for programs.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { type ValidateOptions, validate } from '../src/cli/validate.ts'
import { edited } from './config-text.ts'

let directory = ''

beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'turnout-'))
})

afterAll(() => {
  rmSync(directory, { recursive: true })
})

function run(content: string | Uint8Array, options?: ValidateOptions): { code: number; lines: string[] } {
  const file = join(directory, 'turnout.yaml')
  writeFileSync(file, content)
  const lines: string[] = []
  const code = validate(file, {}, line => lines.push(line.replaceAll(file, 'FILE')), options)
  return { code, lines }
}

it('says that a config is valid', () => {
  expect(run(edited({}))).toEqual({ code: 0, lines: ['FILE: valid'] })
})

it('prints every problem with its place, the warnings too', () => {
  expect(run(edited({ 3: '    adress: x', 13: '    service: shop\n    match: { methods: [get] }' }))).toEqual({
    code: 1,
    lines: [
      'FILE:3:5: CONFIG_UNKNOWN_KEY listeners[0].adress: unknown key "adress". Did you mean "address"?',
      'FILE:14:24: warning CONFIG_METHOD routes[0].match.methods[0]: "get" does not match GET, since methods are case-sensitive. Write it in capitals.',
      'FILE: not valid: 1 error, 1 warning',
    ],
  })
})

it('takes a config with warnings', () => {
  const { code, lines } = run(edited({ 13: '    service: shop\n    match: { methods: [get, put] }' }))
  expect(code).toBe(0)
  expect(lines.at(-1)).toBe('FILE: valid: 2 warnings')
})

it('prints one JSON object for programs', () => {
  const { code, lines } = run(edited({ 13: '    service: shp' }), { json: true })
  expect(code).toBe(1)
  expect(lines.map(line => JSON.parse(line))).toEqual([
    {
      file: 'FILE',
      valid: false,
      problems: [
        {
          code: 'CONFIG_REFERENCE',
          severity: 'error',
          path: 'routes[0].service',
          message: 'there is no service "shp"',
          fix: 'Did you mean "shop"?',
          line: 13,
          column: 14,
        },
      ],
    },
  ])
})

it('refuses a file that is not there', () => {
  const lines: string[] = []
  expect(validate('/nonexistent/turnout.yaml', {}, line => lines.push(line))).toBe(1)
  expect(lines[0]).toBe(
    '/nonexistent/turnout.yaml:1:1: CONFIG_READ: the file cannot be read (ENOENT). Check its path and permissions.',
  )
})

it('refuses a file that is no text', () => {
  expect(run(new Uint8Array([0x61, 0x3a, 0x20, 0xff, 0xfe])).lines[0]).toBe(
    'FILE:1:1: CONFIG_READ: the file is not UTF-8 text. Save it as UTF-8.',
  )
})

it.each([
  ['an empty file', ''],
  ['a file of comments', '# nothing\n'],
])('says what %s is missing', (_, text) => {
  expect(run(text)).toEqual({
    code: 1,
    lines: [
      'FILE:1:1: CONFIG_TYPE: the file is empty. Add listeners, services and routes.',
      'FILE: not valid: 1 error',
    ],
  })
})

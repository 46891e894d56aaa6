import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { usageOf } from '../src/cli/usage.ts'
import { edited } from './config-text.ts'
import { turnout } from './support/command.ts'
import { ConfigFile } from './support/turnout.ts'

const COMMANDS = [
  ...['run', 'validate', 'schema', 'demo', 'version', 'help'],
  ...['status', 'split', 'cutover', 'rollback', 'drain', 'explain', 'healthcheck'],
]

/** Node options that make this Node pass for another one. */
function asNode(version: string): string[] {
  const versions = JSON.stringify({ ...process.versions, node: version })
  const code = `Object.defineProperty(process,'versions',{value:${versions}});Object.defineProperty(process,'version',{value:'v${version}'})`
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`]
}

test.for([
  [[], 'name a command'],
  [['valdate', 'x'], 'unknown command "valdate". Did you mean "validate"?'],
  [['serve'], 'unknown command "serve".'],
  [['toString'], 'unknown command "toString".'],
] as const)('%j names no command: said in one line, with the list, and code 1', async ([args, line]) => {
  const { code, stdout, stderr } = await turnout(args)
  expect(stderr.startsWith(`turnout: ${line}\n\nUsage: turnout COMMAND\n`)).toBe(true)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

test.for([
  [['run', '--confg', 'x'], "Unknown option '--confg'. Did you mean --config?"],
  [['run', '--xyz'], "Unknown option '--xyz'"],
  [['run'], 'name the config file with --config FILE or TURNOUT_CONFIG'],
  [['run', 'x.yaml'], 'unexpected argument "x.yaml"'],
  [['run', '--config', 'x', '--log-level', 'loud'], '--log-level is one of debug, info, warn, error, not "loud"'],
  [['validate'], 'FILE is missing'],
] as const)('%j is a mistake: said in one line, with what the command takes, and code 1', async ([args, line]) => {
  const { code, stdout, stderr } = await turnout(args)
  const [name] = args
  expect(stderr.startsWith(`turnout: ${name}: ${line}\n\nUsage: turnout ${name} `)).toBe(true)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

test.for([['help'], ['--help'], ['-h']])('%s prints the usage', async ([command]) => {
  const { code, stdout } = await turnout([command!])
  expect(code).toBe(0)
  for (const name of COMMANDS) expect(stdout).toContain(`\n  ${name}`)
})

test('each command has a page that begins with what it takes', () => {
  for (const name of COMMANDS) expect(usageOf(name)).toMatch(new RegExp(`^Usage: turnout ${name}( .*)?\n\n  \\S`))
})

test('--help prints the page of a command', async () => {
  const { code, stdout } = await turnout(['run', '--help'])
  expect({ code, first: stdout.split('\n')[0] }).toEqual({
    code: 0,
    first: 'Usage: turnout run --config FILE [--check] [--json] [--log-level LEVEL]',
  })
})

test('version prints version, commit and Node', async () => {
  const { version } = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'))
  const env = { TURNOUT_COMMIT: 'abc123' }
  const text = await turnout(['version'], env)
  expect(text).toMatchObject({ code: 0, stdout: `turnout ${version} (commit abc123, Node ${process.version})\n` })
  const json = await turnout(['version', '--json'], env)
  expect(JSON.parse(json.stdout)).toEqual({ version, commit: 'abc123', node: process.version })
})

test('validate answers by its exit code', async () => {
  const valid = new ConfigFile(edited({}))
  expect(await turnout(['validate', valid.path])).toMatchObject({ code: 0, stdout: `${valid.path}: valid\n` })
  const invalid = new ConfigFile(edited({ 13: '    service: shp' }))
  const { code, stdout } = await turnout(['validate', invalid.path])
  expect(code).toBe(1)
  expect(stdout).toContain(`${invalid.path}:13:14: CONFIG_REFERENCE`)
})

test('TURNOUT_CONFIG names the file where the flag does not', async () => {
  const [valid, invalid] = [new ConfigFile(edited({})), new ConfigFile('{}')]
  const env = { TURNOUT_CONFIG: invalid.path }
  expect((await turnout(['run', '--check'], env)).code).toBe(1)
  expect((await turnout(['run', '--check', '--config', valid.path], env)).code).toBe(0)
})

test('schema prints JSON', async () => {
  const { code, stdout } = await turnout(['schema'])
  expect(code).toBe(0)
  expect(JSON.parse(stdout)).toMatchObject({ $schema: 'http://json-schema.org/draft-07/schema#' })
})

test('a Node that is too old is refused in one line that names the fix', async () => {
  const { code, stdout, stderr } = await turnout(['version'], {}, asNode('20.19.0'))
  expect({ code, stdout, stderr }).toEqual({
    code: 1,
    stdout: '',
    stderr: 'turnout needs Node 24 or newer and this is v20.19.0: install Node 24, or use "npx turnout".\n',
  })
})

test.for([
  ['24.17.9', true],
  ['24.18.0', true],
  ['24.18.1', false],
  ['24.21.0', false],
  ['26.0.0', false],
] as const)('Node %s: warned about missing security fixes: %s', async ([version, isWarned]) => {
  const { code, stderr } = await turnout(['version'], {}, asNode(version))
  expect(code).toBe(0)
  expect(stderr).toBe(isWarned ? `turnout: Node v${version} lacks security fixes of 24.18.1, please update.\n` : '')
})

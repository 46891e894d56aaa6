import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { edited } from './config-text.ts'
import { COMMAND, ConfigFile } from './support/turnout.ts'

type Outcome = { code: number; stdout: string; stderr: string }

/** Runs the command to its end. */
function turnout(args: string[], env: Record<string, string> = {}, nodeOptions: string[] = []): Promise<Outcome> {
  return new Promise(resolve => {
    const options = { env: { ...process.env, ...env } }
    const child = execFile(process.execPath, [...nodeOptions, COMMAND, ...args], options, (_error, stdout, stderr) => {
      resolve({ code: child.exitCode!, stdout, stderr })
    })
  })
}

/** Node options that make this Node pass for another one. */
function asNode(version: string): string[] {
  const versions = JSON.stringify({ ...process.versions, node: version })
  const code = `Object.defineProperty(process,'versions',{value:${versions}});Object.defineProperty(process,'version',{value:'v${version}'})`
  return ['--import', `data:text/javascript,${encodeURIComponent(code)}`]
}

test.for([
  [[], 'turnout: name a command\n'],
  [['valdate', 'x'], 'turnout: unknown command "valdate". Did you mean "validate"?\n'],
  [['serve'], 'turnout: unknown command "serve".\n'],
  [['toString'], 'turnout: unknown command "toString".\n'],
  [['run', '--confg', 'x'], "turnout: run: Unknown option '--confg'\n"],
  [['run'], 'turnout: name the config file with --config FILE or TURNOUT_CONFIG\n'],
  [['run', 'x.yaml'], 'turnout: run: unexpected argument "x.yaml"\n'],
  [
    ['run', '--config', 'x', '--log-level', 'loud'],
    'turnout: --log-level is one of debug, info, warn, error, not "loud"\n',
  ],
  [['validate'], 'turnout: validate: FILE is missing\n'],
] as const)('%j is a mistake: said in one line, with the usage, and code 1', async ([args, line]) => {
  const { code, stdout, stderr } = await turnout([...args], { TURNOUT_CONFIG: '' })
  expect(stderr.startsWith(`${line}\nUsage: turnout COMMAND\n`)).toBe(true)
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' })
})

test.for([['help'], ['--help'], ['-h']])('%s prints the usage', async ([command]) => {
  const { code, stdout } = await turnout([command!])
  expect(code).toBe(0)
  for (const name of ['run', 'validate', 'schema', 'demo', 'version', 'help']) expect(stdout).toContain(`\n  ${name}`)
})

test('a command explains itself', async () => {
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

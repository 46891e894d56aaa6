// argv → command. The only file that reads the arguments and sets the exit code; each command is a function
// that takes what it needs and answers the code (CONTRACT §1: 0 done, 1 invalid or failed start, 2 forced quit,
// 3 failed quit).
import { parseArgs } from 'node:util'
import { AdminClient, AdminError } from './cli/admin-client.ts'
import { readDuration, readPairs, readWeights } from './cli/arguments.ts'
import { Screen } from './cli/screen.ts'
import { USAGE, UsageError, usageLineOf, usageOf } from './cli/usage.ts'
import { didYouMean, suggest } from './config/suggest.ts'
import type { LogLevel } from './observe/log.ts'

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

type Values = Record<string, string | boolean | string[] | undefined>
type Arguments = { values: Values; positionals: string[] }

type Command = {
  options: Record<string, { type: 'string' | 'boolean'; multiple?: boolean }>
  /** Names of the arguments that are not flags; `[NAME]` may be missing, `NAME…` is one or more. */
  positionals: string[]
  run: (args: Arguments) => number | Promise<number>
}

const ADMIN = { admin: { type: 'string' }, json: { type: 'boolean' } } as const
const REASON = { reason: { type: 'string' } } as const
const DRAIN = { deadline: { type: 'string' }, 'no-wait': { type: 'boolean' } } as const

const out = (line: string) => process.stdout.write(`${line}\n`)
const { env } = process

// Commands are loaded when they are used: `version` has no need of a proxy.
const COMMANDS: Record<string, Command> = {
  run: {
    options: {
      config: { type: 'string' },
      check: { type: 'boolean' },
      json: { type: 'boolean' },
      'log-level': { type: 'string' },
    },
    positionals: [],
    run: async ({ values }) => {
      const file = (values.config as string | undefined) ?? env.TURNOUT_CONFIG
      if (!file) throw new UsageError('name the config file with --config FILE or TURNOUT_CONFIG')
      const json = values.json === true
      if (values.check === true) {
        const { validate } = await import('./cli/validate.ts')
        return validate(file, env, out, { json })
      }
      const { run } = await import('./cli/run.ts')
      const readable = process.stdout.isTTY === true && !json
      const nodeOptions = [...process.execArgv, env.NODE_OPTIONS ?? '']
      return run({ file, env, readable, logLevel: logLevel(values['log-level']), nodeOptions, quit: process.exit })
    },
  },
  validate: {
    options: { json: { type: 'boolean' } },
    positionals: ['FILE'],
    run: async ({ values, positionals }) => {
      const { validate } = await import('./cli/validate.ts')
      return validate(positionals[0]!, env, out, { json: values.json === true })
    },
  },
  schema: {
    options: {},
    positionals: [],
    run: async () => {
      const { schema } = await import('./cli/schema.ts')
      return schema(out)
    },
  },
  demo: {
    options: { shadow: { type: 'boolean' } },
    positionals: [],
    run: async ({ values }) => {
      const options = { env, out, quit: process.exit }
      if (values.shadow === true) {
        const { shadowDemo } = await import('./cli/demo-shadow.ts')
        return shadowDemo(options)
      }
      const { demo } = await import('./cli/demo.ts')
      return demo(options)
    },
  },
  status: {
    options: ADMIN,
    positionals: ['[SERVICE]'],
    run: async ({ values, positionals }) => {
      const { status } = await import('./cli/status.ts')
      return status(operator(values), positionals[0])
    },
  },
  replicas: {
    options: ADMIN,
    positionals: [],
    run: async ({ values }) => {
      const { replicas } = await import('./cli/replicas.ts')
      return replicas(operator(values))
    },
  },
  split: {
    options: { ...ADMIN, ...REASON },
    positionals: ['SERVICE', 'VERSION=WEIGHT…'],
    run: async ({ values, positionals: [service, ...texts] }) => {
      const weights = readWeights(texts)
      const { split } = await import('./cli/traffic.ts')
      return split(operator(values), service!, weights)
    },
  },
  cutover: {
    options: { ...ADMIN, ...REASON, ...DRAIN, force: { type: 'boolean' } },
    positionals: ['SERVICE', 'VERSION'],
    run: async ({ values, positionals: [service, version] }) => {
      const options = { ...drainOptions(values), force: values.force === true }
      const { cutover } = await import('./cli/traffic.ts')
      return cutover(operator(values), service!, version!, options)
    },
  },
  rollback: {
    options: { ...ADMIN, ...REASON },
    positionals: ['SERVICE'],
    run: async ({ values, positionals: [service] }) => {
      const { rollback } = await import('./cli/traffic.ts')
      return rollback(operator(values), service!)
    },
  },
  drain: {
    options: { ...ADMIN, ...REASON, ...DRAIN, cancel: { type: 'boolean' } },
    positionals: ['SERVICE', 'VERSION'],
    run: async ({ values, positionals: [service, version] }) => {
      const options = drainOptions(values)
      const { cancelDrain, drain } = await import('./cli/traffic.ts')
      if (values.cancel !== true) return drain(operator(values), service!, version!, options)
      if (values.deadline !== undefined)
        throw new UsageError('--cancel ends the drain, so --deadline means nothing with it')
      return cancelDrain(operator(values), service!, version!)
    },
  },
  explain: {
    options: {
      ...ADMIN,
      header: { type: 'string', multiple: true },
      cookie: { type: 'string', multiple: true },
      query: { type: 'string', multiple: true },
      ip: { type: 'string' },
    },
    positionals: ['SERVICE'],
    run: async ({ values, positionals: [service] }) => {
      const request = {
        headers: readPairs('--header', values.header as string[] | undefined, ':', "'x-user-id: ann'"),
        cookies: readPairs('--cookie', values.cookie as string[] | undefined, '=', 'uid=ann'),
        query: readPairs('--query', values.query as string[] | undefined, '=', 'page=2'),
        ip: values.ip as string | undefined,
      }
      const { explain } = await import('./cli/explain.ts')
      return explain(operator(values), service!, request)
    },
  },
  diffs: {
    options: {
      ...ADMIN,
      ...REASON,
      version: { type: 'string' },
      raw: { type: 'boolean' },
      jsonl: { type: 'boolean' },
      clear: { type: 'boolean' },
    },
    positionals: ['SERVICE'],
    run: async ({ values, positionals: [service] }) => {
      const { version, raw, reason, format } = readDiffs(values)
      const { clearDiffs, diffs } = await import('./cli/diffs.ts')
      const options = { ...operator(values), format }
      if (values.clear === true) return clearDiffs(options, service!, { version, reason })
      return diffs(options, service!, { version, raw })
    },
  },
  healthcheck: {
    options: { admin: { type: 'string' } },
    positionals: [],
    run: async ({ values }) => {
      const { healthcheck } = await import('./cli/healthcheck.ts')
      return healthcheck(operator(values).client)
    },
  },
  version: {
    options: { json: { type: 'boolean' } },
    positionals: [],
    run: async ({ values }) => {
      const { version } = await import('./cli/version.ts')
      return version(out, { json: values.json === true })
    },
  },
  help: {
    options: {},
    positionals: [],
    run: () => {
      out(USAGE)
      return 0
    },
  },
}

const ALIASES: Record<string, string> = { '--help': 'help', '-h': 'help', '--version': 'version', '-v': 'version' }

async function main(argv: string[]): Promise<number> {
  const [first, ...rest] = argv
  if (first === undefined) return misused('name a command', USAGE)
  const name = ALIASES[first] ?? first
  if (!Object.hasOwn(COMMANDS, name)) {
    return misused(`unknown command "${first}". ${didYouMean(first, Object.keys(COMMANDS), '')}`.trim(), USAGE)
  }
  const command = COMMANDS[name]!
  if (rest.includes('--help') || rest.includes('-h')) {
    out(usageOf(name))
    return 0
  }
  let isJson = false
  try {
    const args = readArguments(command, rest)
    isJson = args.values.json === true
    return await command.run(args)
  } catch (error) {
    if (error instanceof UsageError) return misused(`${name}: ${error.message}`, usageLineOf(name))
    if (!(error instanceof AdminError)) throw error
    if (isJson && error.problem !== null) out(error.problem)
    else process.stderr.write(`turnout: ${error.message}\n`)
    return 1
  }
}

/** Says what is wrong with the command line; answers the exit code. */
function misused(message: string, usage: string): number {
  process.stderr.write(`turnout: ${message}\n\n${usage}\n`)
  return 1
}

/** Flags and arguments of a command; throws a UsageError for what it does not take. */
function readArguments({ options, positionals: names }: Command, args: string[]): Arguments {
  let parsed: Arguments
  try {
    parsed = parseArgs({ args, options, allowPositionals: true, strict: true }) as Arguments
  } catch (error) {
    // Node's first sentence says what is wrong; the rest is about its own syntax.
    const message = (error as Error).message.split('. ')[0]!
    const unknown = /^Unknown option '--([^']+)'$/.exec(message)?.[1]
    const hint = unknown === undefined ? null : suggest(unknown, Object.keys(options))
    throw new UsageError(hint === null ? message : `${message}. Did you mean --${hint}?`)
  }
  const { positionals } = parsed
  const missing = names[positionals.length]
  if (missing !== undefined && !missing.startsWith('[')) throw new UsageError(`${missing} is missing`)
  const extra = names.at(-1)?.endsWith('…') ? undefined : positionals[names.length]
  if (extra !== undefined) throw new UsageError(`unexpected argument "${extra}"`)
  return parsed
}

/** What the commands need that operate a running turnout. */
function operator({ admin, json, reason }: Values) {
  // `turnout cutover … | head -1`: nobody reads on, so nobody watches the drain either.
  quitWhenUnread(2)
  const client = new AdminClient({ url: admin as string | undefined, env })
  return { client, screen: new Screen(process.stdout), json: json === true, reason: reason as string | undefined }
}

/** Ends the process when its output cannot be written: with this code where nobody reads on, else as a failure. */
function quitWhenUnread(code: number): void {
  process.stdout.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') process.exit(code)
    process.stderr.write(`turnout: the output could not be written: ${error.message}\n`)
    process.exit(1)
  })
}

function drainOptions(values: Values) {
  return {
    deadline: readDuration('--deadline', values.deadline as string | undefined),
    wait: values['no-wait'] !== true,
  }
}

/** What `diffs` is asked; throws a UsageError for flags that mean nothing together. */
function readDiffs(values: Values) {
  const { version, reason, json, jsonl, raw, clear } = values
  if (json === true && jsonl === true) throw new UsageError('--json and --jsonl are two formats; choose one')
  if (clear === true && (raw === true || jsonl === true)) {
    throw new UsageError(`--clear prints no differences, so --${raw === true ? 'raw' : 'jsonl'} means nothing with it`)
  }
  if (clear !== true && reason !== undefined) throw new UsageError('--reason is for --clear')
  const format = json === true ? 'json' : jsonl === true ? 'jsonl' : null
  return {
    version: version as string | undefined,
    reason: reason as string | undefined,
    raw: raw === true,
    format,
  } as const
}

/** The level that beats the file's: the flag, else the environment, else none. */
function logLevel(flag: Values[string]): LogLevel | null {
  const level = (flag as string | undefined) ?? (env.TURNOUT_LOG_LEVEL || undefined)
  if (level === undefined) return null
  if (!LEVELS.includes(level as LogLevel)) {
    const source = flag === undefined ? 'TURNOUT_LOG_LEVEL' : '--log-level'
    throw new UsageError(`${source} is one of ${LEVELS.join(', ')}, not "${level}"`)
  }
  return level as LogLevel
}

const code = await main(process.argv.slice(2))
// A proxy that has stopped waits for nobody who reads its log.
if (process.argv[2] === 'run') process.exit(code)
// A pipe takes 64 KiB at once, and an exit would cut off the rest, say of an export.
quitWhenUnread(code)
process.stdout.write('', error => {
  if (!error) process.exit(code)
})

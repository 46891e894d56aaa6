// argv → command. The only file that reads the arguments and sets the exit code; each command is a function
// that takes what it needs and answers the code (CONTRACT §1: 0 done, 1 invalid or failed start, 2 forced quit,
// 3 failed quit).
import { parseArgs } from 'node:util'
import { USAGE, usageOf } from './cli/usage.ts'
import { didYouMean } from './config/suggest.ts'
import type { LogLevel } from './observe/log.ts'

const LEVELS: readonly LogLevel[] = ['debug', 'info', 'warn', 'error']

/** A command line that says nothing turnout knows. */
class UsageError extends Error {}

type Arguments = { values: Record<string, string | boolean | undefined>; positionals: string[] }

type Command = {
  options: Record<string, { type: 'string' | 'boolean' }>
  /** Names of the arguments that are not flags. */
  positionals: string[]
  run: (args: Arguments) => number | Promise<number>
}

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
    options: {},
    positionals: [],
    run: async () => {
      const { demo } = await import('./cli/demo.ts')
      return demo({ env, out, quit: process.exit })
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
  if (first === undefined) throw new UsageError('name a command')
  const name = ALIASES[first] ?? first
  if (!Object.hasOwn(COMMANDS, name)) {
    throw new UsageError(`unknown command "${first}". ${didYouMean(first, Object.keys(COMMANDS), '')}`.trim())
  }
  const command = COMMANDS[name]!
  if (rest.includes('--help') || rest.includes('-h')) {
    out(usageOf(name))
    return 0
  }
  return command.run(readArguments(name, command, rest))
}

/** Flags and arguments of a command; throws a UsageError for what it does not take. */
function readArguments(name: string, command: Command, args: string[]): Arguments {
  let parsed: Arguments
  try {
    parsed = parseArgs({ args, options: command.options, allowPositionals: true, strict: true }) as Arguments
  } catch (error) {
    // Node's first sentence says what is wrong; the rest is about its own syntax.
    throw new UsageError(`${name}: ${(error as Error).message.split('. ')[0]}`)
  }
  const { positionals } = parsed
  const [missing] = command.positionals.slice(positionals.length)
  if (missing !== undefined) throw new UsageError(`${name}: ${missing} is missing`)
  const extra = positionals[command.positionals.length]
  if (extra !== undefined) throw new UsageError(`${name}: unexpected argument "${extra}"`)
  return parsed
}

/** The level that beats the file's: the flag, else the environment, else none. */
function logLevel(flag: string | boolean | undefined): LogLevel | null {
  const level = (flag as string | undefined) ?? (env.TURNOUT_LOG_LEVEL || undefined)
  if (level === undefined) return null
  if (!LEVELS.includes(level as LogLevel)) {
    const source = flag === undefined ? 'TURNOUT_LOG_LEVEL' : '--log-level'
    throw new UsageError(`${source} is one of ${LEVELS.join(', ')}, not "${level}"`)
  }
  return level as LogLevel
}

try {
  process.exit(await main(process.argv.slice(2)))
} catch (error) {
  if (!(error instanceof UsageError)) throw error
  process.stderr.write(`turnout: ${error.message}\n\n${USAGE}\n`)
  process.exit(1)
}

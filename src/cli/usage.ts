// What the commands are called and take, for people: a line each in the list, and a page each for --help.

type Help = {
  /** What is not a flag. */
  args: string
  does: string
  flags: [flag: string, does: string][]
  example?: string
}

const JSON_FLAG: [string, string] = ['--json', 'print for programs, also on a terminal']
const ADMIN_FLAGS: [string, string][] = [
  ['--admin URL', "turnout's admin address; default TURNOUT_ADMIN_URL, else http://127.0.0.1:9901"],
  ['--json', "print the API's answer, also where it refuses"],
]
const DRAIN_FLAGS: [string, string][] = [
  ['--deadline 30s', 'when requests still in flight are ended; default drain.deadline of the service'],
  ['--no-wait', 'return at once instead of following the drain'],
]
const REASON_FLAG: [string, string] = ['--reason TEXT', 'kept with the revision and in the audit']

const FILE_COMMANDS: Record<string, Help> = {
  run: {
    args: '--config FILE',
    does: 'serve a config file',
    flags: [
      ['--config FILE', 'the config file; default TURNOUT_CONFIG'],
      ['--check', 'only validate the file'],
      JSON_FLAG,
      ['--log-level LEVEL', 'debug, info, warn or error; default TURNOUT_LOG_LEVEL, else log.level of the file'],
    ],
    example: 'turnout run --config config/turnout.yaml',
  },
  validate: { args: 'FILE', does: 'say everything that is wrong with a config file', flags: [JSON_FLAG] },
  schema: { args: '', does: 'print the JSON Schema of the config file', flags: [] },
  demo: {
    args: '',
    does: 'start two small versions and a proxy in front of them',
    flags: [['--shadow', 'with a shadow that has three bugs, traffic, and the report that names them']],
  },
  version: { args: '', does: 'print version, commit and Node', flags: [JSON_FLAG] },
  help: { args: '', does: 'print this', flags: [] },
}

const ADMIN_COMMANDS: Record<string, Help> = {
  status: { args: '[SERVICE]', does: 'what serves now; with a SERVICE, its endpoints too', flags: ADMIN_FLAGS },
  replicas: {
    args: '',
    does: 'who shares the config through Redis, and which revision each serves',
    flags: ADMIN_FLAGS,
  },
  split: {
    args: 'SERVICE VERSION=WEIGHT…',
    does: 'set the weights of the versions; one that is not named gets 0',
    flags: [REASON_FLAG, ...ADMIN_FLAGS],
    example: 'turnout split shop blue=90 green=10',
  },
  cutover: {
    args: 'SERVICE VERSION',
    does: 'give all new requests to a version; the others drain',
    flags: [...DRAIN_FLAGS, ['--force', 'also to a version without a healthy endpoint'], REASON_FLAG, ...ADMIN_FLAGS],
    example: 'turnout cutover shop green --deadline 30s',
  },
  rollback: {
    args: 'SERVICE',
    does: 'back to the traffic before the last cutover or split',
    flags: [REASON_FLAG, ...ADMIN_FLAGS],
    example: 'turnout rollback shop',
  },
  drain: {
    args: 'SERVICE VERSION',
    does: 'take all new users away from a version; of one that drains already, move the deadline',
    flags: [
      ...DRAIN_FLAGS,
      ['--cancel', 'end the drain, and give the version its weight back'],
      REASON_FLAG,
      ...ADMIN_FLAGS,
    ],
    example: 'turnout drain shop blue',
  },
  explain: {
    args: 'SERVICE',
    does: 'which version a request would get, and why',
    flags: [
      ['--header NAME:VALUE', 'a header of the request; each of these may be there more than once'],
      ['--cookie NAME=VALUE', 'a cookie'],
      ['--query NAME=VALUE', 'a query parameter'],
      ['--ip ADDRESS', "the client's address; default 127.0.0.1"],
      ...ADMIN_FLAGS,
    ],
    example: "turnout explain shop --header 'x-user-id: ann' --cookie group=beta --ip 192.0.2.7",
  },
  diffs: {
    args: 'SERVICE',
    does: 'how the answers of its shadows differ from those its clients get',
    flags: [
      ['--version VERSION', 'only this shadow'],
      ['--raw', 'noise too: what differs between two answers of the primary as well'],
      ['--jsonl', 'print a line of JSON for each field'],
      ['--clear', 'forget what was found, and begin anew'],
      ['--reason TEXT', 'with --clear: kept in the audit'],
      ...ADMIN_FLAGS,
    ],
    example: 'turnout diffs shop --version green',
  },
  healthcheck: {
    args: '',
    does: 'exit with 0 if turnout is ready, else with 1',
    flags: [ADMIN_FLAGS[0]!],
  },
}

const COMMANDS: Record<string, Help> = { ...FILE_COMMANDS, ...ADMIN_COMMANDS }

const EXIT_NOTE = 'Exit codes: 0 done, 1 invalid, refused or failed, 2 forced quit, 3 failed quit.'
const RUN_NOTE = `Signals: SIGHUP reads the config file again, SIGTERM and SIGINT stop gracefully, a second one at once.
${EXIT_NOTE}`
const DRAIN_NOTE = `The command follows the drain to its end; with --json it prints the answer then. Ctrl-C ends the following, with
exit code 2, not the drain.`
const TOKEN_NOTE = `Where turnout has tokens, put one into TURNOUT_ADMIN_TOKEN. There is no flag for it: whoever lists the processes
of the machine would see it.`

export const USAGE = `Usage: turnout COMMAND

${listed(linesOf(FILE_COMMANDS))}

For a turnout that runs, through its admin API:

${listed(linesOf(ADMIN_COMMANDS))}

"turnout COMMAND --help" says more of one.
Environment: TURNOUT_CONFIG, TURNOUT_LOG_LEVEL, TURNOUT_ADMIN_URL and TURNOUT_ADMIN_TOKEN; flags beat them.
${EXIT_NOTE}`

/** What one command takes, for who got it wrong. */
export function usageLineOf(command: string): string {
  return `${synopsisOf(command)}\n"turnout ${command} --help" says more.`
}

/** The page of one command. */
export function usageOf(command: string): string {
  const { does, flags, example } = COMMANDS[command]!
  const parts = [synopsisOf(command), `  ${does}`]
  if (flags.length > 0) parts.push(listed(flags))
  if (example !== undefined) parts.push(`Example: ${example}`)
  if (command === 'run') parts.push(RUN_NOTE)
  if (command === 'cutover' || command === 'drain') parts.push(DRAIN_NOTE)
  if (Object.hasOwn(ADMIN_COMMANDS, command) && command !== 'healthcheck') parts.push(TOKEN_NOTE)
  return parts.join('\n\n')
}

function synopsisOf(command: string): string {
  const { args, flags } = COMMANDS[command]!
  const optional = flags.filter(([flag]) => flag !== args).map(([flag]) => `[${flag}]`)
  return `Usage: turnout ${[command, args, ...optional].filter(part => part !== '').join(' ')}`
}

function linesOf(commands: Record<string, Help>): [command: string, does: string][] {
  return Object.entries(commands).map(([name, { args, does }]) => [`${name} ${args}`, does])
}

/** A line for each pair, what they do in one column. */
function listed(pairs: [what: string, does: string][]): string {
  const width = Math.max(...pairs.map(([what]) => what.length))
  return pairs.map(([what, does]) => `  ${what.padEnd(width)}  ${does}`).join('\n')
}

/** A command line that says nothing turnout knows. */
export class UsageError extends Error {}

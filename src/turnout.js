#!/usr/bin/env node
// The `turnout` command. Plain JavaScript of the kind an old Node can read, so that it can say what is wrong
// instead of failing on the TypeScript that main.ts is.
const [major, minor, patch] = process.versions.node.split('.').map(Number)

if (major < 24) {
  console.error(
    'turnout needs Node 24 or newer and this is ' + process.version + ': install Node 24, or use "npx turnout".',
  )
  process.exitCode = 1
} else {
  if (major === 24 && (minor < 18 || (minor === 18 && patch < 1))) {
    console.error('turnout: Node ' + process.version + ' lacks security fixes of 24.18.1, please update.')
  }
  // A reload is asked for by a signal that ends who does not expect it. Before the config file is read, and behind the
  // end, there is nothing to reload.
  if (process.argv[2] === 'run') process.on('SIGHUP', () => {})
  import('./main.ts')
}

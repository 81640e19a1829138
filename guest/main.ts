/** Makes the test guest in a folder and prints where its files are: `node guest/main.ts FOLDER`. */
import { resolve } from 'node:path'
import { explain } from '@nubo/base'
import { silentLog, type Log } from '@nubo/runtime/process'
import { buildTestGuest } from './build-test-guest.ts'

const USAGE = `usage: node guest/main.ts [--refresh] FOLDER
  Makes a small virtual machine out of Debian's packages, or finds it there, and prints where its files are.
  --refresh   with the kernel that is current; without it, the newest that is in the folder will do
`

const args = process.argv.slice(2)
const isKernelRefreshed = args.includes('--refresh')
const [folder, ...others] = args.filter((arg) => arg !== '--refresh')
if (folder === undefined || folder.startsWith('-') || others.length > 0) {
  process.stderr.write(USAGE)
  process.exitCode = ['--help', '-h'].includes(folder ?? '') ? 0 : 2
} else {
  const log: Log = { ...silentLog, info: (message) => void process.stderr.write(`${message}\n`) }
  try {
    const guest = await buildTestGuest({ folder: resolve(folder), log, isKernelRefreshed })
    const lines = Object.entries(guest).map(([name, value]) => `${name.padEnd(14)}${value}\n`)
    process.stdout.write(lines.join(''))
  } catch (error) {
    process.stderr.write(`${explain(error)}\n`)
    process.exitCode = 1
  }
}

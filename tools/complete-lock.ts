/**
 * `node tools/complete-lock.ts [LOCK-FILE]`, after each change of dependencies: writes into package-lock.json the packages for
 * other platforms that npm left out. A tool such as the linter has one optional package for each platform; npm leaves
 * those out that the registry in use cannot offer at that moment, and then `npm ci` refuses the lock file anywhere.
 * An entry with version, platform and `optional` is enough: it is never fetched on another platform.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { completeLock, type Lock } from './lock-file.ts'
import { top } from './checkout.ts'

const path = process.argv[2] ?? join(top, 'package-lock.json')
const lock = JSON.parse(readFileSync(path, 'utf8')) as Lock // proof: npm's documented format, version 3
const added = completeLock(lock)
if (added.length > 0) writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
process.stdout.write(
  added.length === 0
    ? 'The lock file is whole.\n'
    : `Added:\n${added.map((name) => `  ${name}\n`).join('')}`,
)

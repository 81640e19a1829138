import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { runCommand } from '../run.ts'
import { fakeTerminal } from '../testing/terminal.ts'

const folder = mkdtempSync(join(tmpdir(), 'nubo-completion-'))
after(() => rmSync(folder, { recursive: true }))

async function script(shell: string): Promise<string> {
  const { surroundings, printed } = fakeTerminal({ argv: ['completion', shell], isTty: false })
  assert.equal(await runCommand(surroundings), 0)
  assert.equal(printed.stderr, '')
  return printed.stdout
}

/** A program called nubo that lists names made of what it was asked. */
function writeListingNubo(): string {
  const path = join(folder, 'nubo')
  writeFileSync(
    path,
    '#!/bin/sh\n[ "$2" = ls ] || exit 1\necho "$1-1"; if [ "$3" = --project ]; then echo "$1-2-in-$4"; else echo "$1-2"; fi\n',
  )
  chmodSync(path, 0o755)
  return path
}

/** What bash would offer after these words; the last one is being typed. */
function offers(bash: string, words: readonly string[]): string[] {
  const code = `${bash}
compopt() { :; }
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_nubo
printf '%s\\n' "\${COMPREPLY[@]}"`
  const output = execFileSync('bash', ['-u', '-c', code, 'bash', ...words], { timeout: 10_000 })
  return output
    .toString()
    .split('\n')
    .filter((line) => line !== '')
}

test('bash offers nouns, verbs, flags, values and the names that there are', async () => {
  const bash = await script('bash')
  const nubo = writeListingNubo()
  const offered = (...words: string[]): string[] => offers(bash, [nubo, ...words])
  assert.ok(offered('').includes('set'))
  assert.ok(offered('').includes('up'))
  assert.deepEqual(offered('ne'), ['network'])
  assert.deepEqual(offered('set', 're'), ['restart'])
  assert.deepEqual(offered('set', 'run', 'web', '--sp'), ['--spread'])
  assert.deepEqual(offered('set', 'run', 'web', '--spread', ''), ['host', 'rack', 'zone'])
  assert.deepEqual(offered('set', 'run', '--image', ''), ['image-1', 'image-2'])
  assert.deepEqual(offered('set', 'show', ''), ['set-1', 'set-2'])
  assert.deepEqual(offered('set', 'rm', 'set-1', ''), ['set-1', 'set-2'])
  assert.deepEqual(offered('set', 'show', 'set-1', ''), [])
  assert.deepEqual(offered('--project', 'p', 'set', 'show', ''), ['set-1', 'set-2-in-p'])
  assert.deepEqual(offered('set', 'ls', '-o', 'j'), ['json'])
  assert.deepEqual(offered('set', 'exec', 'web', '--', 'se'), [])
  assert.deepEqual(offered('watch', 'su'), ['subnet'])
  assert.deepEqual(offered('completion', ''), ['bash', 'zsh', 'fish'])
  assert.deepEqual(offered('up', '--'), ['--hosts', '--no-demo', '--help'])
  assert.deepEqual(offered('lab', 'po'), ['power-off', 'power-on'])
})

test('every script is read by its shell, where the machine has it', async () => {
  const check = { bash: ['bash', '-n'], zsh: ['zsh', '-n'], fish: ['fish', '--no-execute'] }
  for (const [shell, [program = '', ...args]] of Object.entries(check)) {
    const file = join(folder, `completion.${shell}`)
    writeFileSync(file, await script(shell))
    const { error, status, stderr } = spawnSync(program, [...args, file], { timeout: 10_000 })
    if (error !== undefined && shell !== 'bash') continue
    assert.equal(status, 0, `${shell}: ${stderr?.toString()}`)
  }
})

test('each script knows each noun and each verb', async () => {
  const [bash, zsh, fish] = await Promise.all(['bash', 'zsh', 'fish'].map(script))
  for (const path of ['/set/run', '/image/import', '/host/uncordon', '/operation/wait', '/login']) {
    assert.ok(bash?.includes(`'${path}'`), path)
    assert.ok(zsh?.includes(`'${path}'`), path)
    assert.ok(fish?.includes(`'${path}'`), path)
  }
})

test('an unknown shell is a usage error', async () => {
  const { surroundings, printed } = fakeTerminal({ argv: ['completion', 'tcsh'] })
  assert.equal(await runCommand(surroundings), 2)
  assert.match(printed.stderr, /bash, zsh, fish/)
})

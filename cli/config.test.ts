import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { findLogin, saveLogin } from './config.ts'
import { LoginError } from './errors.ts'
import type { Surroundings } from './surroundings.ts'
import { fakeTerminal } from './testing/terminal.ts'

const homeFolder = mkdtempSync(join(tmpdir(), 'nubo-config-'))
after(() => rmSync(homeFolder, { recursive: true }))
const cloud = join(homeFolder, 'cloud')
mkdirSync(cloud)
writeFileSync(join(homeFolder, 'token'), ' of-flag \n')
writeFileSync(join(cloud, 'token'), 'of-cloud\n')
writeFileSync(
  join(cloud, 'cli.json'),
  JSON.stringify({ servers: ['http://cloud'], tokenFile: join(cloud, 'token') }),
)

function within(env: Record<string, string>): Surroundings {
  return fakeTerminal({ env, homeFolder }).surroundings
}

test('flags before environment before files; what one does not know comes from the next', () => {
  const env = { NUBO_HOME: cloud, NUBO_SERVERS: 'http://a, http://b', NUBO_TOKEN: 'of-env' }
  const flags = { server: ['http://flag'], tokenFile: join(homeFolder, 'token'), project: 'shop' }
  assert.deepEqual(findLogin(within(env), flags), {
    servers: ['http://flag'],
    token: 'of-flag',
    project: 'shop',
  })
  assert.deepEqual(findLogin(within({ ...env, NUBO_PROJECT: 'demo' }), {}), {
    servers: ['http://a', 'http://b'],
    token: 'of-env',
    project: 'demo',
  })
  assert.deepEqual(findLogin(within({ NUBO_HOME: cloud }), { server: ['http://cloud/'] }), {
    servers: ['http://cloud/'],
    token: 'of-cloud',
    project: undefined,
  })
})

test('a saved token is not sent to a server that it was not saved for', () => {
  assert.throws(
    () => findLogin(within({ NUBO_HOME: cloud }), { server: ['http://elsewhere'] }),
    /There is no token for this cloud/,
  )
  assert.throws(
    () => findLogin(within({ NUBO_HOME: cloud, NUBO_SERVERS: 'http://cloud,http://x' }), {}),
    /There is no token for this cloud/,
  )
})

test('a NUBO_HOME that is set on purpose comes before the login of the user', () => {
  const login = { servers: ['http://login'], token: 'of-login', project: 'mine' }
  const path = join(homeFolder, 'xdg', 'nubo', 'login.json')
  saveLogin(path, login)
  saveLogin(path, login)
  const env = { XDG_CONFIG_HOME: join(homeFolder, 'xdg') }
  assert.deepEqual(findLogin(within(env), {}), login)
  assert.deepEqual(findLogin(within({ ...env, NUBO_HOME: cloud }), {}), {
    servers: ['http://cloud'],
    token: 'of-cloud',
    project: undefined,
  })
})

test('what cannot be a login is an error that says which file', () => {
  const broken = join(homeFolder, 'broken')
  mkdirSync(broken)
  const file = join(broken, 'cli.json')
  for (const text of ['', '[', 'null', '{"servers":[]}', '{"servers":[1]}', '{"token":5}']) {
    writeFileSync(file, text)
    assert.throws(
      () => findLogin(within({ NUBO_HOME: broken }), {}),
      (error) => error instanceof LoginError && error.message.includes(file),
      text,
    )
  }
  writeFileSync(join(homeFolder, 'empty'), '\n')
  const flags = { server: ['http://a'], tokenFile: join(homeFolder, 'empty') }
  assert.throws(() => findLogin(within({ NUBO_HOME: cloud }), flags), /is empty/)
})

import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { formatJoinToken } from '@nubo/contracts/host'
import { ProgramError, run } from '@nubo/runtime'
import { joinCommand } from './agent-program.ts'

describe('joinCommand', () => {
  const folder = mkdtempSync(join(tmpdir(), 'nubo-join-'))
  after(() => rmSync(folder, { recursive: true, force: true }))

  it('hands the token to the agent where other users cannot read it, and the agent takes it from there', async () => {
    const token = formatJoinToken({
      v: 1,
      hostName: 'h1',
      caSha256: 'a'.repeat(64),
      secret: 's'.repeat(43),
      servers: ['127.0.0.1:1'], // nobody listens there
    })
    const configFile = join(folder, 'agent.json')
    writeFileSync(
      configFile,
      JSON.stringify({ stateDir: join(folder, 'agent'), switch: { vtepAddress: '172.16.0.1' } }),
    )
    const command = joinCommand(configFile, token)
    assert.ok(!command.argv.join(' ').includes(token))
    // That it looks for the token's server shows that the token has arrived whole.
    await assert.rejects(
      run(command),
      (error) =>
        error instanceof ProgramError && /No server of the token answers/.test(error.stderrTail),
    )
  })
})

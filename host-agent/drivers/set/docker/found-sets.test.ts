import assert from 'node:assert/strict'
import { test } from 'node:test'
import { startFakeEngine } from '@nubo/wire-docker/testing'
import { SetCgroups } from './cgroups.ts'
import { FoundSets } from './found-sets.ts'
import { SandboxLinks } from './sandbox-links.ts'

test('a host with more containers than the client takes calls at once is read as a whole', async () => {
  const ids = Array.from({ length: 1_500 }, (_, number) => `c${number}`)
  const labelsOf = (id: string): Record<string, string> => ({
    'nubo.set': id,
    'nubo.epoch': '1',
    'nubo.spec-hash': 'h',
  })
  const listed = ids.map((Id) => ({
    Id,
    Names: [],
    ImageID: '',
    Labels: labelsOf(Id),
    State: 'created',
  }))
  const inspected = (id: string): unknown => ({
    Id: id,
    Name: `/nubo-${id}`,
    Image: '',
    Config: { Labels: labelsOf(id), Tty: false },
    HostConfig: { NetworkMode: 'none' },
    State: {
      Status: 'created',
      Pid: 0,
      ExitCode: 0,
      OOMKilled: false,
      Error: '',
      StartedAt: '0001-01-01T00:00:00Z',
      FinishedAt: '0001-01-01T00:00:00Z',
    },
  })
  const engine = await startFakeEngine({
    onRequest: (request, response) => {
      const [, id] = /\/containers\/(c\d+)\/json/.exec(request.url ?? '') ?? []
      response.setHeader('content-type', 'application/json')
      response.end(JSON.stringify(id === undefined ? listed : inspected(id)))
    },
  })
  try {
    const found = new FoundSets({
      docker: engine.client,
      cgroups: new SetCgroups({ parent: '/nt-none' }),
      links: new SandboxLinks(),
    })
    const sets = await found.read()
    assert.deepEqual(
      sets.map(({ setId }) => setId),
      ids,
    )
  } finally {
    await engine.close()
  }
})

import assert from 'node:assert/strict'
import { once } from 'node:events'
import { createServer, type AddressInfo } from 'node:net'
import { describe, it } from 'node:test'
import { isPlatformError } from '@nubo/base'
import { chooseFreePorts, findListeners, holderOf, parseListeners, requireFree } from './ports.ts'

const table = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1D38 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1 0000000000000000 100 0 0 10 0
   1: 00000000:1388 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 222 1 0000000000000000 100 0 0 10 0
   2: 0100007F:1D38 0100007F:9C40 01 00000000:00000000 00:00000000 00000000     0        0 333 1 0000000000000000 100 0 0 10 0
`
const table6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000000000000000000000000000:1D39 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 444 1 0000000000000000 100 0 0 10 0
   1: 00000000000000000000000001000000:1D3A 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 555 1 0000000000000000 100 0 0 10 0
`

describe('listeners of the machine', () => {
  const listeners = [...parseListeners(table), ...parseListeners(table6)]

  it('are read from the kernel, connections left out', () => {
    assert.deepEqual(listeners, [
      { address: '127.0.0.1', port: 7480, inode: '111' },
      { address: '*', port: 5000, inode: '222' },
      { address: '*', port: 7481, inode: '444' },
    ])
  })

  it('are in the way on their own address, or on every one', () => {
    assert.ok(holderOf(listeners, { address: '127.0.0.1', port: 7480 }))
    assert.equal(holderOf(listeners, { address: '198.18.0.1', port: 7480 }), undefined)
    assert.ok(holderOf(listeners, { address: '198.18.0.1', port: 5000 }))
  })

  it('and claims of others are avoided when ports are chosen', () => {
    const wanted = { address: '127.0.0.1', first: 7480, count: 2 }
    assert.deepEqual(chooseFreePorts(listeners, wanted), [7482, 7483])
    assert.deepEqual(chooseFreePorts(listeners, { ...wanted, taken: [7483] }), [7484, 7485])
  })

  it('are named with their program when a port is needed', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const { port } = server.address() as AddressInfo // proof: it listens on TCP
    assert.throws(
      () =>
        requireFree(findListeners(), {
          address: '127.0.0.1',
          port,
          use: 'the API',
          next: 'stop it',
        }),
      (error) =>
        isPlatformError(error, 'PORT_TAKEN') &&
        error.message.includes(`Port ${port} of 127.0.0.1`) &&
        error.message.includes(`(process ${process.pid})`) &&
        error.details['next'] === 'stop it',
    )
    server.close()
    await once(server, 'close')
    requireFree(findListeners(), { address: '127.0.0.1', port, use: 'the API', next: '' })
  })
})

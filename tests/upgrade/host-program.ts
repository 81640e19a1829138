/**
 * A host whose agent is of the release in whose folder this file lies: it joins, or goes on from the
 * state that an agent of another release has left there, and does what servers want. The suite
 * starts it where it stands, and a copy of it in the previous release. Its parent asks it, and it ends with its parent.
 */
import {
  createSimulatedHost,
  joinRegion,
  openSqliteDisk,
  readIdentity,
  serverImageTokens,
  webSocketConnector,
  webSocketStreamDialer,
} from '@nubo/host-agent'
import { silentLog, systemClock, systemRandom } from '@nubo/runtime'

const [token = '', stateDir = '', vtepAddress = ''] = process.argv.slice(2)
const identity =
  readIdentity(stateDir) ?? (await joinRegion({ token, stateDir, clock: systemClock }))
const { hostId, servers } = identity
const host = createSimulatedHost({
  hostId,
  clock: systemClock,
  random: systemRandom,
  connector: webSocketConnector(() => identity),
  servers,
  imageTokens: serverImageTokens({
    clock: systemClock,
    identity: () => identity,
    servers: () => servers,
  }),
  streamDialer: webSocketStreamDialer(() => identity),
  vtepAddress,
  disk: openSqliteDisk({
    path: `${stateDir}/wanted.db`,
    onDamaged: (cause) => {
      throw cause
    },
  }),
  log: silentLog,
})
host.start()
process.on('disconnect', () => process.exit(0))
process.on('message', () =>
  process.send?.({
    server: host.agent?.connectedTo ?? null,
    sets: [...host.setHost.sets.keys()],
  }),
)
process.send?.('joined')

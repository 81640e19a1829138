// What every set driver must do, on a real Docker Engine that this test starts and removes.
import { setDriverConformance } from './conformance.ts'
import { memberName, pauseName } from './docker/labels.ts'
import { DockerStage, interfaceOf } from './testing/docker-stage.ts'

setDriverConformance('docker', async () => {
  const stage = await DockerStage.open()
  const { containers } = stage.engine.client
  return {
    driver: stage.driver,
    again: () => stage.again(),
    image: stage.image,
    absentImage: { repository: 'team/web', digest: `sha256:${'0'.repeat(64)}` },
    auth: stage.auth,
    commands: {
      run: ['sleep', '100000'],
      exit: (exitCode) => ['sh', '-c', `exit ${exitCode}`],
      print: (...texts) => [
        'sh',
        '-c',
        `${texts.map((text) => `echo ${text}`).join(';')}; exec sleep 100000`,
      ],
      refused: ['no-such-program'],
    },
    execs: {
      echo: (text) => ['echo', text],
      fail: (exitCode, text) => ['sh', '-c', `echo ${text} >&2; exit ${exitCode}`],
      cat: ['cat'],
      hang: ['sleep', '100000'],
    },
    interfaces: (number) => [interfaceOf(number)],
    endContainer: async (setId, container) =>
      await containers.kill(memberName(setId, container), 'SIGKILL'),
    endSandbox: async (setId) => await containers.kill(pauseName(setId), 'SIGKILL'),
    killEngine: async () => await stage.engine.kill(),
    startEngine: async () => await stage.engine.start(),
    dispose: async () => await stage.close(),
  }
})

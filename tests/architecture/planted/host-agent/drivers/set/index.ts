export { DockerSetDriver } from './docker/docker-set-driver.ts'
export type { SetDriver } from './set-driver.ts'

export { network } from './service.ts'

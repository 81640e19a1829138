export { nameTaken } from './names.ts'
export { maySee, mayAct, projectOf, type Caller } from './caller.ts'
export { route, type CallerBinding } from './route.ts'
export { identityBindings } from './routes.ts'
export {
  createIdentityService,
  DEFAULT_ACCOUNT_NAME,
  DEFAULT_PROJECT_NAME,
  type IdentityService,
} from './service.ts'
export { newSecret, secretSha256, tokenView } from './token.ts'

import Resolver from '@forge/resolver';
import { kept, issue, people, secret } from './helpers';

const definitions = new Resolver();
definitions.define('people', () => people());
definitions.define('issue', ({ payload }) => issue(payload.key));
definitions.define('kept', ({ payload }) => kept(payload));
definitions.define('secret', ({ payload }) => secret(payload));
export const resolver = definitions.getDefinitions();

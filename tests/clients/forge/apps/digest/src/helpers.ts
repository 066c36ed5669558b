import api, { route, storage } from '@forge/api-2.7';

const status = async (url: any) => (await api.asUser().requestJira(url, { headers: { Accept: 'application/json' } })).status;
export const people = () => status(route`/rest/api/3/users`);
export const issue = (key: string) => status(route`/rest/api/3/issue/${key}`);
export const kept = async (value: any) => { await storage.set('value', value); return storage.get('value'); };
export const secret = async (value: any) => { await storage.setSecret('secret', value); return storage.getSecret('secret'); };

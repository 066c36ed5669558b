import { storage } from '@forge/api-1';
import axios from 'axios';

const read = async (path) => (await api.asApp().requestJira(path)).json();

export const validate = async ({ issue, transition: { to } }) => {
  const { fields } = await read(`/rest/api/3/issue/${issue.key}?fields=status,issuetype`);
  const kinds = await read('/rest/api/2/project/DEMO/statuses');
  const known = kinds.find(({ name }) => name === fields.issuetype.name).statuses.find(({ id }) => id === to.id);
  await storage.set('asked', ((await storage.get('asked')) ?? 0) + 1);
  let elsewhere;
  try { elsewhere = (await axios.post('https://elsewhere.example/start')).status; } catch (error) { elsewhere = error.response?.status ?? error.message; }
  return { result: Boolean(known), from: fields.status.name, asked: await storage.get('asked'), elsewhere };
};

export const ask = async ({ queryParameters }) => ({ statusCode: 200, body: JSON.stringify(await validate({ issue: { key: queryParameters.issue[0] }, transition: { to: { id: queryParameters.to[0] } } })) });

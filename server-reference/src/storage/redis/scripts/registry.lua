-- Changes what a tenant's register has of a topic, if it has what the caller has seen.
local R, U = unpack(KEYS)
local a = cjson.decode(ARGV[1])
local there = redis.call('HGET', R, a.name)
if (there or '') ~= (a.seen or '') then return { 'other', there or '' } end
if a.due_by then
    -- Somebody else may have put it off.
    local due = redis.call('ZSCORE', U, a.name)
    if not due or tonumber(due) > a.due_by then return { 'other', there or '' } end
end
if a.cap and redis.call('HLEN', R) >= a.cap then return { 'full' } end
if a.now_is then redis.call('HSET', R, a.name, a.now_is) else redis.call('HDEL', R, a.name) end
if a.due then redis.call('ZADD', U, string.format('%.0f', a.due), a.name) else redis.call('ZREM', U, a.name) end
return { 'done' }

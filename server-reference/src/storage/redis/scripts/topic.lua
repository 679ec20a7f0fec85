-- What the scripts of a topic begin with. Numbers of events and times fit into Lua's numbers; epochs and producers' numbers have 64
-- bits, and are texts of twenty digits, which compare as numbers do.
local T, E, P, S, N, O, F = unpack(KEYS)
local a = cjson.decode(ARGV[1])

local function num(text)
    return tonumber(text) or 0
end

local function str(number)
    return string.format('%.0f', number)
end

local function topic()
    local flat, t = redis.call('HGETALL', T), nil
    for i = 1, #flat, 2 do
        t = t or {}
        t[flat[i]] = flat[i + 1]
    end
    return t
end

-- Whether its time is over.
local function over(t)
    return (t.idle and a.now >= num(t.touched) + num(t.idle)) or (t.ends and a.now >= num(t.ends))
end

-- Tells every instance: within the commit, so that none is told of less than was committed. A hint all the same.
local function tell(t, from, appended, bodies, origin)
    local lines = { origin or a.origin, a.names, t.epoch, str(from), t.tail, t.closed, str(appended), bodies and '1' or '0', '' }
    redis.call('PUBLISH', a.channel, table.concat(lines, '\n') .. (bodies or ''))
end

-- The process that this is; by it is known who has written last.
local function process()
    return a.doubt and string.match(redis.call('INFO', 'server'), 'run_id:(%x+)') or ''
end

local function greater(one, other)
    for i = 1, math.min(#one, #other) do
        local b, c = string.byte(one, i), string.byte(other, i)
        if b ~= c then
            return b > c
        end
    end
    return #one > #other
end

-- An epoch that is greater than another.
local function later(other, drawn)
    if greater(drawn, other) then
        return drawn
    end
    local high, low = tonumber(string.sub(other, 1, 10)), tonumber(string.sub(other, 11)) + 1
    if low >= 1e10 then
        high, low = high + 1, 0
    end
    return string.format('%010.0f%010.0f', high, low)
end

-- Begins another history where the end of this one may be lost: the caller knows of more than there is, or another process has
-- it now than the one that wrote last, and is not trusted to have all of it. Up to where the old one is held is noted for forks, and
-- for groups up to where events are the same in all of them.
local function history(t)
    local run = a.doubt and process() or t.run
    local lost = a.known and a.known.epoch == t.epoch and num(t.tail) < a.known.tail
    if not lost and run == t.run then
        return
    end
    t.cuts = string.sub((t.cuts or '') .. t.epoch .. ':' .. t.tail .. ';', -1024)
    t.epoch, t.run = later(t.epoch, a.epoch), run
    t.sure = str(math.min(num(t.sure or t.tail), num(t.tail)))
    redis.call('HSET', T, 'epoch', t.epoch, 'run', run, 'cuts', t.cuts, 'sure', t.sure)
    -- Of nobody's: also the caller hears of it.
    tell(t, num(t.tail), 0, nil, '')
end

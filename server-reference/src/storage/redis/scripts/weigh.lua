
-- The number after which the events up to another have at most so many bytes, and how many bytes all of them have.
local t = topic()
if not t or t.id ~= a.id or t.epoch ~= a.epoch or num(t.first) > a.from or num(t.tail) < a.to then return { 'changed' } end

-- The bytes of what came up to a number.
local function upto(number)
    if number == num(t.tail) then return num(t.sum) end
    local entry = redis.call('XRANGE', E, str(number + 1), str(number + 1))[1]
    return entry and num(entry[2][6])
end

local begins, ends, low, high = upto(a.from), upto(a.to), a.from, a.to
if not begins or not ends then return { 'hole' } end
while low < high do
    local middle = low + math.floor((high - low) / 2)
    local sum = upto(middle)
    if not sum then return { 'hole' } end
    if ends - sum > a.bytes then low = middle + 1 else high = middle end
end
return { 'after', str(low), str(ends - begins) }

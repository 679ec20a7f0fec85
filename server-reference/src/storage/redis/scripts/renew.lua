
local t = topic()
if t then history(t) end
return { 'done' }
